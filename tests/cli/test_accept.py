"""smelt contract accept: keys that came into a source become columns of the load's SQL and of its contract; the diff
applies with patch, --write makes the same files, and the next run loads the keys."""
import json
import subprocess

import pytest

PIPELINE = """\
name: shop
vars:
  logs: {type: uri, default: ./logs}
  lake: {type: uri, default: ./lake}
lake: lake
sources:
  - {name: logs, quarantine: bad.orders, unknown: ignore}
tasks:
  - load: raw.orders
    from: logs
    sql: orders.sql
    by: day
    evolve: add
    contract: orders.yaml
"""
ORDERS = """\
-- The orders as they come.
SELECT
    id,
    s.city AS city, -- where it goes
    file_date AS day -- of the file
FROM read_json(
    var('logs'),
    columns => {
        id: 'BIGINT', -- the key
        s: 'STRUCT(city VARCHAR, t STRUCT(u BIGINT))'
    },
    file_date => true, bad_lines => 'quarantine'
);
"""
CONTRACT = """\
apiVersion: v3.1.0
kind: DataContract
id: orders
version: 1.0.0
status: active
schema:
  # the only table
  - name: orders
    properties:
      - name: id
        logicalType: integer
        required: true
      - name: city
        logicalType: string
      - name: day # of the file
        logicalType: date

        description: >
          when it came

# the end
"""
CAME = {"id": 2, "s": {"city": "Hue", "size": "L", "t": {"w": 1.5}}, "note": "x", "n": 5, "ok": True}


class Shop:
    def __init__(self, smelt, folder):
        self.smelt, self.folder, self.lake, self.days = smelt, folder, folder / "lake", 0
        (folder / "logs").mkdir()
        self.put("shop.yaml", PIPELINE)
        self.put("orders.sql", ORDERS)
        self.put("orders.yaml", CONTRACT)
        self.load({"id": 1, "s": {"city": "Hue"}})

    def put(self, name, text):
        (self.folder / name).write_text(text)

    def text(self, name):
        return (self.folder / name).read_text()

    def load(self, *lines, check=True):
        self.days += 1
        (self.folder / "logs" / f"202301{self.days:02}.json").write_text("".join(json.dumps(x) + "\n" for x in lines))
        return self.smelt("run", "shop.yaml", "--json", check=check)

    def accept(self, *args, check=True):
        return self.smelt("contract", "accept", "shop.yaml", *args, check=check)

    def rows(self):
        return self.smelt.sql("FROM raw.orders ORDER BY id", "--lake", str(self.lake))


@pytest.fixture
def shop(smelt, tmp_path):
    return Shop(smelt, tmp_path)


def test_nothing_came(shop):
    done = shop.accept()
    assert (done.stdout, done.stderr) == ("", "smelt: no key has come that no column takes\n")


def test_a_table_that_is_not_there_has_no_new_keys(smelt, tmp_path):
    for name, text in (("shop.yaml", PIPELINE), ("orders.sql", ORDERS), ("orders.yaml", CONTRACT)):
        (tmp_path / name).write_text(text)
    assert smelt("contract", "accept", "shop.yaml").stderr == "smelt: no key has come that no column takes\n"
    assert not (tmp_path / "lake").exists()


def test_the_diff_and_what_is_written_are_the_same_and_load(shop):
    shop.load(CAME)
    diff = shop.accept().stdout
    assert shop.text("orders.sql") == ORDERS and shop.text("orders.yaml") == CONTRACT
    subprocess.run(["patch", "-p0", "-d", str(shop.folder), "--dry-run"], input=diff, text=True, check=True)
    patched = shop.folder / "patched"
    patched.mkdir()
    for name in ("orders.sql", "orders.yaml"):
        (patched / name).write_text(shop.text(name))
    subprocess.run(["patch", "-p0", "-d", str(patched)], input=diff, text=True, check=True)
    done = shop.accept("raw.orders", "--write")
    assert done.stdout == "" and "changed orders.sql" in done.stderr and "changed orders.yaml" in done.stderr
    for name in ("orders.sql", "orders.yaml"):
        assert shop.text(name) == (patched / name).read_text()
    assert shop.text("orders.sql") == ORDERS.replace(
        "    file_date AS day -- of the file\n",
        "    file_date AS day, -- of the file\n    s.size AS size,\n    s.t.w AS w,\n    note,\n    n,\n    ok\n").replace(
        "        s: 'STRUCT(city VARCHAR, t STRUCT(u BIGINT))'\n",
        "        s: 'STRUCT(city VARCHAR, t STRUCT(u BIGINT, w DOUBLE), size VARCHAR)',\n        note: 'VARCHAR',\n"
        "        n: 'BIGINT',\n        ok: 'BOOLEAN'\n")
    assert shop.text("orders.yaml").startswith(CONTRACT[:CONTRACT.index("\n# the end")])
    assert shop.text("orders.yaml").endswith("      - name: ok\n        logicalType: boolean\n"
                                             "        physicalType: BOOLEAN\n\n# the end\n")
    assert json.loads(shop.load({**CAME, "id": 3}).stdout)["drift"] == []
    new = {"size": "L", "w": 1.5, "note": "x", "n": 5, "ok": True}
    nothing = dict.fromkeys(new)
    assert [{key: row[key] for key in new} for row in shop.rows()] == [nothing, nothing, new]
    assert shop.accept().stderr == "smelt: no key has come that no column takes\n"


def test_for_machines(shop):
    shop.load({"id": 2, "x": 1, "l": []})
    done = shop.accept("--json", check=False)
    answer = json.loads(done.stdout)
    assert done.returncode == 1 and answer["error"]["status"] == "UNSUPPORTED"
    assert (answer["taken"], answer["left"]) == (1, 1)
    assert [file["file"] for file in answer["files"]] == ["orders.sql", "orders.yaml"]
    shop.accept("--write", check=False)
    for file in answer["files"]:
        assert shop.text(file["file"]) == file["after"] != file["before"]


@pytest.mark.parametrize("key, wants", [
    ({"x": {"y": 1}}, "its values are objects"),
    ({"x": [1]}, "its values are lists"),
    ({"x": None}, "it has only nulls"),
])
def test_keys_without_a_type_are_left_and_the_others_taken(shop, key, wants):
    shop.load({"id": 2, **key, "good": 1})
    done = shop.accept("--write", check=False)
    assert done.returncode == 1 and wants in done.stderr and "x of raw.orders (1 line" in done.stderr
    assert "good: 'BIGINT'" in shop.text("orders.sql")


def test_a_key_of_several_types_is_left(shop):
    shop.load({"id": 2, "x": 1}, {"id": 3, "x": []})
    done = shop.accept(check=False)
    assert done.returncode == 1 and done.stdout == "" and "its values are of several types" in done.stderr


def test_sql_without_a_certain_place_is_left_and_says_what_to_add(shop):
    nested = "SELECT id, city, day FROM (\n" + ORDERS.replace(";", "") + ")\n"
    shop.put("orders.sql", nested)
    shop.smelt("run", "shop.yaml", "--full-refresh", "raw.orders")
    shop.load(CAME)
    done = shop.accept("--write", check=False)
    assert done.returncode == 1 and shop.text("orders.sql") == nested and shop.text("orders.yaml") == CONTRACT
    assert "the SELECT does not itself read the files" in done.stderr
    assert "Add to its columns: note: 'VARCHAR'" in done.stderr
    assert "to the SELECT of orders.sql: note" in done.stderr


def test_a_contract_in_one_line_is_left(shop):
    shop.put("orders.yaml", CONTRACT[:CONTRACT.index("    properties")] +
             "    properties: [{name: id}, {name: city}, {name: day}]\n")
    shop.load({"id": 2, "x": 1})
    done = shop.accept("--write", check=False)
    assert done.returncode == 1 and "its columns are not written one below another" in done.stderr
    assert "x: 'BIGINT'" in shop.text("orders.sql") and "x" not in shop.text("orders.yaml").split("properties")[1]


def test_without_evolve_it_says_what_the_next_run_needs(shop):
    shop.put("shop.yaml", PIPELINE.replace("    evolve: add\n", ""))
    shop.load({"id": 2, "x": 1})
    assert "raw.orders has no evolve: add" in shop.accept("--write").stderr
    assert shop.load({"id": 3, "x": 2}, check=False).returncode == 1


def test_a_load_without_a_contract(shop):
    shop.put("shop.yaml", PIPELINE.replace("    contract: orders.yaml\n", ""))
    shop.load({"id": 2, "x": 1})
    shop.accept("--write")
    assert "x: 'BIGINT'" in shop.text("orders.sql") and shop.text("orders.yaml") == CONTRACT


@pytest.mark.parametrize("args, wants", [
    (["raw.other"], "the pipeline has no load \"raw.other\""),
    (["--table", "x"], "smelt contract accept has no option --table"),
    (["raw.orders", "more"], "smelt contract accept takes PIPELINE [TABLE]"),
])
def test_wrong_usage(shop, args, wants):
    done = shop.accept(*args, check=False)
    assert done.returncode == 2 and wants in done.stderr


def test_windows_lines_stay_so(shop):
    for name, text in (("orders.sql", ORDERS), ("orders.yaml", CONTRACT)):
        (shop.folder / name).write_bytes(text.replace("\n", "\r\n").encode())
    shop.load({"id": 2, "x": 1})
    shop.accept("--write")
    for name in ("orders.sql", "orders.yaml"):
        data = (shop.folder / name).read_bytes()
        assert data.count(b"\n") == data.count(b"\r\n") and b"x" in data
    shop.load({"id": 3, "x": 2})
