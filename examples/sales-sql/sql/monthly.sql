-- pieces sold a month and article
{% set unused = upstream["load"] %}
DROP TABLE IF EXISTS {{product}};

CREATE TABLE {{product}} AS
SELECT substr(day, 1, 7) AS month, article, sum(pieces) AS pieces
FROM sales
GROUP BY month, article;
