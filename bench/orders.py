"""Makes the inputs of the rows about changing a table: orders with random customers, amounts and notes, in
Parquet files that DuckDB writes and a Delta table that delta-rs makes of them.

    orders.py FOLDER FILES ROWS_OF_A_FILE

FOLDER/table holds the table. Each file holds a day, the next ids, and customers in no order.
FOLDER/changes.parquet holds as many rows as 1 % of the table's: nine of ten with an id that is there, spread
over all files, the others new. FOLDER/day.parquet is one more file, of the next day."""
import pathlib
import sys

import deltalake
import duckdb

ROW = """{id} AS id, CAST(DATE '2022-04-01' + CAST({file} AS INTEGER) AS DATE) AS day,
    'C' || lpad(CAST(hash({id}, {salt}) % 1000000 AS VARCHAR), 7, '0') AS customer,
    'city ' || CAST(hash({id}, 7) % 500 AS VARCHAR) AS city,
    CAST(hash({id}, {salt} + 1) % 100000 AS BIGINT) AS amount,
    substr(md5(CAST({id} + {salt} AS VARCHAR)), 1, 16) AS note"""


def rows(ids, id, file, salt=0):
    return f"SELECT {ROW.format(id=id, file=file, salt=salt)} FROM range({ids}) r(i)"


def make(folder, n_files, n_rows):
    connection = duckdb.connect()
    (folder / "table").mkdir(parents=True)

    def write(path, query):
        connection.execute(f"COPY ({query}) TO '{path}' (FORMAT parquet, COMPRESSION zstd)")

    for n in range(n_files):
        write(folder / "table" / f"{n:05}.parquet", rows(f"{n * n_rows}, {(n + 1) * n_rows}", "i", n))
    write(folder / "day.parquet", rows(f"{n_files * n_rows}, {(n_files + 1) * n_rows}", "i", n_files))
    total = n_files * n_rows
    changed = rows(f"{total // 100 * 9 // 10}", f"(i * {total} // {total // 100 * 9 // 10})",
                   f"(i * {total} // {total // 100 * 9 // 10} // {n_rows})", salt=9)
    added = rows(f"{total}, {total + total // 1000}", "i", n_files - 1, salt=9)
    write(folder / "changes.parquet", f"{changed} UNION ALL {added}")
    deltalake.convert_to_deltalake(str(folder / "table"))


if __name__ == "__main__":
    make(pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
