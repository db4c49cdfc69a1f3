"""ClickHouse's part (chDB): the logs as a table function, and gold over any relation."""

import chdb

from common import APPS, FIRST_DAY, KINDS, LAST_DAY, REPORT_DATE, THREADS, source, sql_list

SETTINGS = (f"SETTINGS max_threads = {THREADS}, output_format_parquet_compression_method = 'zstd', "
            "engine_file_truncate_on_insert = 1")
LOGS = f"""file('{source}/*.json', JSONEachRow, '_index Nullable(String), _type Nullable(String),
  _id Nullable(String), _score Nullable(Int64), _source Tuple(Contract Nullable(String),
  Mac Nullable(String), TotalDuration Nullable(Int64), AppName Nullable(String))')"""
FILE_DATE = "toDate32(parseDateTimeBestEffort(extract(_file, '([0-9]{8})')))"


def gold(relation):
    sums = ", ".join(f"sumIf(TotalDuration, AppName IN ({sql_list(apps)})) AS {kind}Duration"
                     for kind, apps in KINDS.items())
    columns = [f"{kind}Duration" for kind in KINDS]
    most = ", ".join(f"{kind}Duration = greatest({', '.join(columns)}), '{kind}'"
                     for kind in KINDS)

    def klass(x):
        return f"multiIf({x} <= {x}q[1], 1, {x} <= {x}q[2], 2, 3)"
    return f"""
      SELECT Contract, {', '.join(f'ifNull({c}, 0) AS {c}' for c in columns)},
        multiIf({most}, '') AS MostWatch,
        concat(toString(4 - {klass('R')}), toString({klass('F')}), toString({klass('M')})) AS RFM
      FROM (SELECT Contract, {', '.join(f'ifNull({c}, 0) AS {c}' for c in columns)}, R, F, M,
          quantilesExactInclusive(0.3333333333333333, 0.6666666666666666)(R) OVER () AS Rq,
          quantilesExactInclusive(0.3333333333333333, 0.6666666666666666)(F) OVER () AS Fq,
          quantilesExactInclusive(0.3333333333333333, 0.6666666666666666)(M) OVER () AS Mq
        FROM (SELECT assumeNotNull(Contract) AS Contract, {sums},
            dateDiff('day', max(Date), toDate32('{REPORT_DATE}')) AS R, uniqExact(Date) AS F,
            assumeNotNull(sum(TotalDuration)) AS M
          FROM {relation}
          WHERE Contract != '0' AND lengthUTF8(Contract) >= 2 AND TotalDuration > 0
            AND AppName IN ({sql_list(APPS)})
            AND Date BETWEEN toDate32('{FIRST_DAY}') AND toDate32('{LAST_DAY}')
          GROUP BY Contract))"""


def write(query, path):
    chdb.query(f"INSERT INTO FUNCTION file('{path}', Parquet) {query} {SETTINGS}")
