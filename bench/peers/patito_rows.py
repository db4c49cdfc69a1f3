"""Patito: validates bronze by the rules of ../contracts/rows.yaml, and adds up the rows that break each."""

import re
from typing import Optional

from common import source, timed
from polars_common import pl

import patito as pt


class Row(pt.Model):
    Id: str
    Score: Optional[int] = pt.Field(ge=0)
    TotalDuration: Optional[int] = pt.Field(ge=0, le=86400)
    Contract: Optional[str] = pt.Field(min_length=2, pattern="^[A-Z0-9]{2,}$")


def work():
    rows = pl.read_parquet(f"{source}/*.parquet", columns=list(Row.model_fields))
    try:
        Row.validate(rows)
        print(0)
    except pt.exceptions.DataFrameValidationError as broken:
        print(sum(int(re.match(r"\d+", error["msg"])[0]) for error in broken.errors()))


timed(work)
