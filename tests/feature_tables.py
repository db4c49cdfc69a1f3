"""Small tables, each with a table feature that asks something of readers, made by smelt and from its
tables. MAKERS: name of the feature -> make(program, folder), which gives the rows as (id, text)."""
import json
import uuid

ROWS = [(1, "2022-04-01"), (2, "2022-04-02")]
# A deletion vector of row 0, in the log itself.
FIRST_ROW = {"storageType": "i", "pathOrInlineDv": "^Bg9^0rr910000000000iXQKl0rr91000005c8Xg00000",
             "sizeInBytes": 34, "cardinality": 1}


def write(program, statement):
    program("sql", "--write", statement)


def plain(program, folder, columns="{id: 'INTEGER', x: 'VARCHAR'}"):
    lines = folder.parent / f"{folder.name}.json"
    lines.write_text("".join(json.dumps({"id": number, "x": text}) + "\n" for number, text in ROWS))
    write(program, f"CREATE TABLE '{folder}' AS SELECT * FROM read_json('{lines}', columns => {columns})")
    return ROWS


def mapped(program, folder):
    plain(program, folder)
    program("table", "alter", folder, "--enable", "column-mapping", "RENAME COLUMN x TO y")
    write(program, f"INSERT INTO '{folder}' VALUES (3, 'new')")
    return [*ROWS, (3, "new")]


def widened(program, folder):
    plain(program, folder)
    program("table", "alter", folder, "--enable", "type-widening", "ALTER COLUMN id TYPE BIGINT")
    write(program, f"INSERT INTO '{folder}' VALUES (9000000000, 'new')")
    return [*ROWS, (9000000000, "new")]


def local_times(program, folder):
    return plain(program, folder, "{id: 'INTEGER', x: 'TIMESTAMP'}")


def change_log(folder, feature, change):
    """Gives the table's first version the feature; change(action) may change each action."""
    commit = folder / "_delta_log" / f"{0:020}.json"
    actions = [json.loads(line) for line in commit.read_text().splitlines()]
    for action in actions:
        if "protocol" in action:
            action["protocol"] = {"minReaderVersion": 3, "minWriterVersion": 7,
                                  "readerFeatures": [feature], "writerFeatures": [feature]}
        change(action)
    commit.write_text("".join(json.dumps(action) + "\n" for action in actions))
    return actions


def with_vectors(program, folder):
    def delete_first(action):
        if "add" in action:
            action["add"]["deletionVector"] = FIRST_ROW
    plain(program, folder)
    change_log(folder, "deletionVectors", delete_first)
    return ROWS[1:]


def v2_checkpoint(program, folder):
    """Version 0 is known from a V2 checkpoint of version 1 alone."""
    def ask_for_it(action):
        if "metaData" in action:
            action["metaData"]["configuration"]["delta.checkpointPolicy"] = "v2"
    plain(program, folder)
    actions = change_log(folder, "v2Checkpoint", ask_for_it)
    log = folder / "_delta_log"
    kept = [{"checkpointMetadata": {"version": 1}}, *(a for a in actions if "commitInfo" not in a)]
    (log / f"{1:020}.checkpoint.{uuid.uuid4()}.json").write_text(
        "".join(json.dumps(action) + "\n" for action in kept))
    (log / f"{1:020}.json").write_text(json.dumps({"commitInfo": {"operation": "WRITE"}}) + "\n")
    (log / f"{0:020}.json").unlink()
    return ROWS


MAKERS = {"columnMapping": mapped, "deletionVectors": with_vectors, "timestampNtz": local_times,
          "typeWidening": widened, "v2Checkpoint": v2_checkpoint}


def texts(rows):
    """Rows as (id, text), in the order of their ids; a time is its day."""
    return sorted((row[0], str(row[1])[:10]) for row in rows)
