-- Silver with its RFM class: recency, frequency and monetary value, each from 1 (worst) to 3 (best).
WITH measures AS (
    SELECT
        Contract,
        last_day(CAST(var('month') || '-01' AS DATE)) + 1 - max("Date") AS Recency,
        count(DISTINCT "Date") AS Frequency,
        CAST(sum(TotalDuration) AS BIGINT) AS Monetary
    FROM silver.viewing
    GROUP BY Contract
)
SELECT
    s.*,
    concat(
        4 - qcut(m.Recency, 3) OVER (),
        qcut(m.Frequency, 3) OVER (),
        qcut(m.Monetary, 3) OVER ()
    ) AS RFM
FROM silver.customer_viewing AS s
JOIN measures AS m ON m.Contract = s.Contract;
