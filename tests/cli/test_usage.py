"""The program's version, and exit code 2 with a usage for wrong arguments."""
import re

from common import ROOT


def test_version_is_the_one_of_the_build(smelt):
    declared = re.search(r"version: '([^']+)'", (ROOT / "meson.build").read_text()).group(1)
    assert smelt("--version").stdout == f"smelt {declared}\n"


def test_no_words_is_wrong_usage(smelt):
    done = smelt(check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "smelt" in done.stderr


def test_a_command_that_is_none_is_wrong_usage(smelt):
    done = smelt("smolt", check=False)
    assert done.returncode == 2
    assert done.stdout == ""
