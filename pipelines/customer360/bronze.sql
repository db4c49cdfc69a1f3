-- The log as the source has it, unpacked: one row a line, in the order of the input.
SELECT
    _index AS "Index",
    _type AS "Type",
    _id AS "Id",
    _score AS "Score",
    _source.AppName AS AppName,
    _source.Contract AS Contract,
    _source.Mac AS Mac,
    _source.TotalDuration AS TotalDuration,
    file_date AS "Date"
FROM read_json(
    var('logs'),
    match => '^[^.].*\.json(\.gz|\.zst)?$',
    columns => {
        _index: 'VARCHAR',
        _type: 'VARCHAR',
        _id: 'VARCHAR',
        _score: 'BIGINT',
        _source: 'STRUCT(AppName VARCHAR, Contract VARCHAR, Mac VARCHAR, TotalDuration BIGINT)'
    },
    file_date => true,
    bad_lines => 'quarantine',
    validate => 'all'
);
