"""Polars' part: the logs as a LazyFrame, and gold over any such frame."""

import os

from common import APPS, KINDS, THREADS, source

os.environ["POLARS_MAX_THREADS"] = str(THREADS)  # read at the import

import polars as pl  # noqa: E402

from common import FIRST_DAY, LAST_DAY, REPORT_DATE  # noqa: E402


def logs():
    schema = {"_index": pl.String, "_type": pl.String, "_id": pl.String, "_score": pl.Int64,
              "_source": pl.Struct({"Contract": pl.String, "Mac": pl.String,
                                    "TotalDuration": pl.Int64, "AppName": pl.String})}
    source_field = pl.col("_source").struct.field
    return pl.scan_ndjson(f"{source}/*.json", schema=schema,
                          include_file_paths="file").select(
        Index="_index", Type="_type", Id="_id", Score="_score",
        AppName=source_field("AppName"), Contract=source_field("Contract"),
        Mac=source_field("Mac"), TotalDuration=source_field("TotalDuration"),
        Date=pl.col("file").str.extract(r"(\d{8})\.json$").str.to_date("%Y%m%d"))


def gold(frame):
    duration = pl.col("TotalDuration")
    silver = (
        frame.filter(pl.col("Contract") != "0", pl.col("Contract").str.len_chars() >= 2,
                     duration > 0, pl.col("AppName").is_in(APPS),
                     pl.col("Date").is_between(pl.lit(FIRST_DAY).str.to_date(),
                                               pl.lit(LAST_DAY).str.to_date()))
        .group_by("Contract")
        .agg(*[duration.filter(pl.col("AppName").is_in(apps)).sum().alias(f"{kind}Duration")
               for kind, apps in KINDS.items()],
             R=(pl.lit(REPORT_DATE).str.to_date() - pl.col("Date").max()).dt.total_days(),
             F=pl.col("Date").n_unique().cast(pl.Int64), M=duration.sum())
        .collect(engine="streaming"))
    columns = [f"{kind}Duration" for kind in KINDS]
    most = pl.when(False).then(pl.lit(""))
    for kind in KINDS:
        most = most.when(pl.col(f"{kind}Duration") == pl.max_horizontal(columns)).then(pl.lit(kind))

    def klass(x):
        low, high = (silver[x].quantile(q, "linear") for q in (1 / 3, 2 / 3))
        return (pl.when(pl.col(x) <= low).then(1).when(pl.col(x) <= high).then(2).otherwise(3))
    return silver.select("Contract", *columns, MostWatch=most,
                         RFM=pl.concat_str(4 - klass("R"), klass("F"), klass("M")))
