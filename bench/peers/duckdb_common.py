"""DuckDB's part: a connection, the logs as a relation, and gold over any relation `v`."""

import duckdb

from common import KINDS, APPS, FIRST_DAY, LAST_DAY, REPORT_DATE, THREADS, source, sql_list

con = duckdb.connect()
if source.startswith("s3://"):
    import os
    import pathlib

    import duckdb_extension_httpfs
    extension = next(pathlib.Path(duckdb_extension_httpfs.__file__).parent.rglob("*.duckdb_extension"))
    con.execute(f"LOAD '{extension}'")
    con.execute(f"""CREATE SECRET (TYPE S3, KEY_ID '{os.environ['AWS_ACCESS_KEY_ID']}', SECRET
        '{os.environ['AWS_SECRET_ACCESS_KEY']}', URL_STYLE 'path', USE_SSL false, ENDPOINT
        '{os.environ['AWS_ENDPOINT_URL'].removeprefix('http://')}')""")
con.execute(f"SET threads = {THREADS}")
con.execute("SET preserve_insertion_order = false")

LOGS = f"""read_json('{source}/*.json', format = 'newline_delimited', filename = true, columns = {{
  _index: 'VARCHAR', _type: 'VARCHAR', _id: 'VARCHAR', _score: 'BIGINT',
  _source: 'STRUCT(Contract VARCHAR, Mac VARCHAR, TotalDuration BIGINT, AppName VARCHAR)'}})"""
FILE_DATE = "strptime(regexp_extract(filename, '([0-9]{8})[.]json$', 1), '%Y%m%d')::DATE"


def gold(relation):
    """Silver and RFM in one aggregation over `relation` (Contract, AppName, TotalDuration, Date).
    The classes by interpolated quantiles: x <= v[i] exactly where x <= the quantile."""
    sums = ", ".join(f"coalesce(sum(TotalDuration) FILTER (WHERE AppName IN ({sql_list(apps)})), 0)"
                     f"::BIGINT AS {kind}Duration" for kind, apps in KINDS.items())
    order = list(KINDS)
    most = " ".join(f"WHEN {kind}Duration THEN '{kind}'" for kind in order)
    columns = ", ".join(f"{kind}Duration" for kind in order)

    def klass(x):
        return f"CASE WHEN {x} <= {x}q[1] THEN 1 WHEN {x} <= {x}q[2] THEN 2 ELSE 3 END"
    return f"""
      WITH silver AS MATERIALIZED (
        SELECT Contract, {sums}, DATE '{REPORT_DATE}' - max("Date") AS R,
          count(DISTINCT "Date") AS F, sum(TotalDuration)::BIGINT AS M
        FROM {relation}
        WHERE Contract <> '0' AND length(Contract) >= 2 AND TotalDuration > 0
          AND AppName IN ({sql_list(APPS)})
          AND "Date" BETWEEN DATE '{FIRST_DAY}' AND DATE '{LAST_DAY}'
        GROUP BY Contract),
      limits AS (SELECT quantile_cont(R, [1.0/3, 2.0/3]) AS Rq, quantile_cont(F, [1.0/3, 2.0/3])
        AS Fq, quantile_cont(M, [1.0/3, 2.0/3]) AS Mq FROM silver)
      SELECT Contract, {columns},
        CASE greatest({columns}) {most} END AS MostWatch,
        (4 - {klass('R')}) || '' || ({klass('F')}) || '' || ({klass('M')}) AS RFM
      FROM silver, limits"""
