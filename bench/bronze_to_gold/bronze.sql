SELECT * FROM read_parquet(var('bronze'));
