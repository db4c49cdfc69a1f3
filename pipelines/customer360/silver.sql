-- One row a contract: how long it watched each kind, and which kind most (of equals the first in
-- the order TV, Child, Movie, Relax, Sport).
WITH totals AS (
    SELECT
        Contract,
        CAST(coalesce(sum(TotalDuration) FILTER (WHERE Kind = 'TV'), 0) AS BIGINT) AS TVDuration,
        CAST(coalesce(sum(TotalDuration) FILTER (WHERE Kind = 'Child'), 0) AS BIGINT) AS ChildDuration,
        CAST(coalesce(sum(TotalDuration) FILTER (WHERE Kind = 'Movie'), 0) AS BIGINT) AS MovieDuration,
        CAST(coalesce(sum(TotalDuration) FILTER (WHERE Kind = 'Relax'), 0) AS BIGINT) AS RelaxDuration,
        CAST(coalesce(sum(TotalDuration) FILTER (WHERE Kind = 'Sport'), 0) AS BIGINT) AS SportDuration
    FROM silver.viewing
    GROUP BY Contract
)
SELECT
    *,
    CASE greatest(TVDuration, ChildDuration, MovieDuration, RelaxDuration, SportDuration)
        WHEN TVDuration THEN 'TV'
        WHEN ChildDuration THEN 'Child'
        WHEN MovieDuration THEN 'Movie'
        WHEN RelaxDuration THEN 'Relax'
        WHEN SportDuration THEN 'Sport'
    END AS MostWatch
FROM totals;
