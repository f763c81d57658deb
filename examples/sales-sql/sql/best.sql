-- the best article of each month
SELECT month, article, max(pieces) AS pieces
FROM {{upstream["monthly"]}}
GROUP BY month
ORDER BY month
