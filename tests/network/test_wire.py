"""A scan over a slow network: 50 ms per answer, 1 Gbit/s, two workers. The test prints which share
of the network's rate it reaches. Only `make soak` demands nine tenths, of the best of three,
because a busy machine must not fail a test."""
import time

import pytest

from customer360 import generate

RATE = 125_000_000  # bytes a second
SQL = """SELECT count(*) AS lines, sum(_source.TotalDuration) AS seconds
  FROM read_json('{logs}', columns => {{_source: 'STRUCT(TotalDuration BIGINT)'}})"""


@pytest.mark.soak
def test_a_scan_keeps_nine_tenths_of_the_wire(smelt, tmp_path):
    generate(smelt, tmp_path / "logs", days=3, rows=1_000_000, contracts=100_000)
    size = sum(path.stat().st_size for path in (tmp_path / "logs").glob("*.json"))
    query = SQL.format(logs=tmp_path / "logs")
    wanted = smelt("sql", query, "--threads", "2").stdout
    shares = []
    for _ in range(3):
        begun = time.perf_counter()
        done = smelt("sql", query, "--threads", "2",
                     env={"SMELT_FAULT": f"delay_ms=50,bytes_per_s={RATE}"})
        shares.append(size / RATE / (time.perf_counter() - begun))
        assert done.stdout == wanted
    print(f"{size:,} bytes: {', '.join(f'{share:.0%}' for share in shares)} of the wire's rate")
    assert max(shares) >= 0.9
