-- The rows of the window that count, each with the kind of what was watched.
SELECT
    Contract,
    "Date",
    TotalDuration,
    CASE
        WHEN AppName IN ('CHANNEL', 'KPLUS', 'KPlus', 'DSHD') THEN 'TV'
        WHEN AppName IN ('VOD', 'FIMS', 'BHD', 'VOD_RES', 'FIMS_RES', 'BHD_RES', 'DANET') THEN 'Movie'
        WHEN AppName = 'SPORT' THEN 'Sport'
        WHEN AppName = 'CHILD' THEN 'Child'
        WHEN AppName = 'RELAX' THEN 'Relax'
    END AS Kind
FROM bronze.viewing_log
WHERE "Date" >= CAST(var('month') || '-01' AS DATE)
  AND "Date" <= last_day(CAST(var('month') || '-01' AS DATE))
  AND Contract <> '0'
  AND length(Contract) >= 2
  AND TotalDuration > 0
  AND AppName IN ('CHANNEL', 'KPLUS', 'KPlus', 'DSHD',
                  'VOD', 'FIMS', 'BHD', 'VOD_RES', 'FIMS_RES', 'BHD_RES', 'DANET',
                  'SPORT', 'CHILD', 'RELAX');
