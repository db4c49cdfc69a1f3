"""The environment of Spark lacks the other peers: test files that import them are ignored there."""
import importlib.util
import pathlib

if importlib.util.find_spec("pyarrow") is None:
    collect_ignore = [path.name for path in pathlib.Path(__file__).parent.glob("test_*.py")
                      if not path.name.startswith("test_spark") and path.name != "test_peers.py"]
