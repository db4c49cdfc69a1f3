"""Tables after each kind of maintenance and change, made by smelt alone, and filters over them with the rows
that they should give: for tests of every engine, also in an environment that has only Spark. (Tables of the
other engines, with the same rows: test_table_kinds.py, test_spark.py.)"""
import datetime

CITIES = ["Rome", "Oslo", "a/b c", "Ü", None]
COLUMNS = ["id", "city", "amount", "day"]
PARTITIONED = """\
name: kinds
vars:
  lake: {type: uri}
lake: lake
tasks:
  - table: kinds.TABLE
    sql: p.sql
    partition_by: [city, day]
    overwrite: partitions
"""


def row(id, city="", amount=None):
    day = datetime.date(2022, 4, 1) + datetime.timedelta(days=id % 4)
    return id, CITIES[id % 5] if city == "" else city, id * 7 % 50 if amount is None else amount, str(day)


OLD = [row(id) for id in range(60)]
NEWS = [row(id, "new", 1000) for id in range(50, 64)]  # the source of a MERGE


def literal(value):
    return "NULL" if value is None else str(value) if isinstance(value, int) else f"'{value}'"


def values(rows):
    """The rows as a query of smelt, Spark or DuckDB."""
    texts = ", ".join(f"({id}, {literal(city)}, {amount}, '{day}')" for id, city, amount, day in rows)
    return (f"SELECT CAST(id AS BIGINT) AS id, city, CAST(amount AS BIGINT) AS amount, CAST(day AS DATE) AS day "
            f"FROM (VALUES {texts}) v(id, city, amount, day)")


def merged(old):
    """What MERGE makes of the rows: those of NEWS with an id below 55 go, the others are taken over."""
    kept = {r[0]: r for r in old}
    for news in NEWS:
        if news[0] in kept and news[0] < 55:
            del kept[news[0]]
        else:
            kept[news[0]] = news
    return list(kept.values())


MERGE = ("MERGE INTO {t} t USING ({news}) s ON t.id = s.id WHEN MATCHED AND t.id < 55 THEN DELETE "
         "WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *")


class Maker:
    """One table of smelt, in whose log each step is a version."""

    def __init__(self, program, uri):
        self.program, self.uri = program, uri

    def sql(self, text, **names):
        self.program("sql", "--write", text.format(t=f"'{self.uri}'", **names))

    def table(self, *words):
        verb, *more = words
        self.program("table", verb, self.uri, *more)

    def start(self):
        """Three files of twenty rows each."""
        self.sql("CREATE TABLE {t} AS " + values(OLD[:20]))
        for first in (20, 40):
            self.sql("INSERT INTO {t} " + values(OLD[first:first + 20]))

    def merge(self):
        self.sql(MERGE, news=values(NEWS))


def compacted(m):
    m.start()
    m.table("optimize")
    return OLD


def zordered(m):
    m.start()
    m.table("cluster", "--by", "amount,city")
    return OLD


def hilbert(m):
    """Clustered, added to, and clustered again; then a row is changed in the sorted files."""
    m.start()
    m.table("cluster", "--by", "id,amount", "--curve", "hilbert")
    m.sql("INSERT INTO {t} " + values(NEWS[10:]))
    m.table("cluster")
    m.sql("UPDATE {t} SET amount = -1 WHERE id = 7")
    return [row(7, amount=-1) if r[0] == 7 else r for r in OLD + NEWS[10:]]


def merge(m):
    m.start()
    m.merge()
    return merged(OLD)


def merged_compacted(m):
    m.start()
    m.merge()
    m.table("optimize")
    m.table("vacuum", "--retention", "0s", "--no-retention-check")
    return merged(OLD)


def restored(m):
    m.start()
    m.merge()
    m.sql("DELETE FROM {t} WHERE id > 3")
    m.table("restore", "--version", 2)
    m.sql("INSERT INTO {t} " + values(NEWS[10:]))
    return OLD + NEWS[10:]


def restored_optimize(m):
    """Back to before the files were joined."""
    m.start()
    m.table("optimize")
    m.sql("DELETE FROM {t} WHERE amount < 10")
    m.table("restore", "--version", 2)
    return OLD


def partitioned(m):
    """By a column with NULL and odd texts, and by a day: replaced in part, merged, joined."""
    folder = m.uri.parent.parent
    (folder / "p.yaml").write_text(PARTITIONED.replace("TABLE", m.uri.name))
    rows = {r[1:2] + r[3:]: [] for r in OLD}
    for new in (OLD, [row(id, amount=-2) for id in (0, 20, 40)]):  # all of one partition
        (folder / "p.sql").write_text(values(new))
        m.program("run", folder / "p.yaml", "--var", f"lake={folder}")
        rows.update({key: [r for r in new if r[1:2] + r[3:] == key] for key in {r[1:2] + r[3:] for r in new}})
    m.merge()
    m.table("optimize")
    return merged([r for part in rows.values() for r in part])


def partitioned_clustered(m):
    """Sorted within partitions, changed, and sorted again where files are new."""
    rows = partitioned(m)
    m.table("cluster", "--by", "id,amount")
    m.sql("INSERT INTO {t} " + values(NEWS[10:]))
    m.table("cluster")
    m.sql("UPDATE {t} SET amount = -1 WHERE id = 7")
    return [row(7, city=r[1], amount=-1) if r[0] == 7 else r for r in rows + NEWS[10:]]


def checkpointed(m):
    """More commits than a checkpoint waits for."""
    m.start()
    for n in range(10):
        m.sql("DELETE FROM {t} WHERE id = " + str(n))
    return OLD[10:]


KINDS = {fn.__name__: fn for fn in (compacted, zordered, hilbert, merge, merged_compacted, restored,
                                    restored_optimize, partitioned, partitioned_clustered,
                                    checkpointed)}
# Filters that leave out files, row groups or partitions; the second is the same in Python.
FILTERS = [
    ("id >= 0", lambda r: True),
    ("id BETWEEN 30 AND 40", lambda r: 30 <= r[0] <= 40),
    ("id = 7", lambda r: r[0] == 7),
    ("city = 'a/b c'", lambda r: r[1] == "a/b c"),
    ("city IS NULL", lambda r: r[1] is None),
    ("city = 'Ü' AND amount > 20", lambda r: r[1] == "Ü" and r[2] > 20),
    ("day = '2022-04-02' AND id > 45", lambda r: r[3] == "2022-04-02" and r[0] > 45),
    ("amount < 0", lambda r: r[2] < 0),
]


def in_order(rows):
    return sorted(((id, city, amount, str(day)) for id, city, amount, day in rows), key=repr)


FEW_FILTERS = FILTERS[::3]  # for engines that take long for each


def check(query, rows, filters=tuple(FILTERS)):
    """query(where) gives the rows (id, city, amount, day) of an engine."""
    for where, holds in filters:
        assert in_order(query(where)) == in_order(filter(holds, rows)), where


def smelt_query(program, uri):
    return lambda where: [tuple(found[name] for name in COLUMNS)
                          for found in program.sql(f"SELECT * FROM '{uri}' WHERE {where}")]
