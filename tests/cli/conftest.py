"""shop   a shop (tests/shop.py) with two days of orders, of which two lines are refused"""
import pytest

from shop import Shop, line


@pytest.fixture
def shop(smelt, tmp_path):
    made = Shop(smelt, tmp_path)
    made.put("20220401.json", line(1), line(2, "Oslo", 7), "broken\n")
    made.put("20220402.json", line(3), "{\"id\":1.5}\n", line(4))
    return made
