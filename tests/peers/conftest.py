"""The environment of Spark lacks the other peers: test files that import them are ignored there."""
import importlib.util
import pathlib

if importlib.util.find_spec("pyarrow") is None:
    collect_ignore = [path.name for path in pathlib.Path(__file__).parent.glob("test_*.py")
                      if path.name not in ("test_spark.py", "test_peers.py")]
