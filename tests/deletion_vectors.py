"""Gives a table of smelt the feature deletionVectors, as its creator could have, and looks at vectors."""
import json


def log_of(table):
    return sorted((table / "_delta_log").glob("*.json"))


def enable_vectors(table):
    """In the first version: no version of the table lacks it then."""
    first = log_of(table)[0]
    lines = [json.loads(line) for line in first.read_text().splitlines()]
    for line in lines:
        if "protocol" in line:
            line["protocol"] = {"minReaderVersion": 3, "minWriterVersion": 7,
                                "readerFeatures": ["deletionVectors"],
                                "writerFeatures": ["deletionVectors", "appendOnly", "invariants"]}
        if "metaData" in line:
            line["metaData"]["configuration"]["delta.enableDeletionVectors"] = "true"
    first.write_text("".join(json.dumps(line) + "\n" for line in lines))


def vectors_added(table):
    """The deletion vectors that commits have added, as the log has them."""
    found = []
    for path in log_of(table):
        adds = (json.loads(line).get("add") for line in path.read_text().splitlines())
        found += [add["deletionVector"] for add in adds if add and "deletionVector" in add]
    return found
