-- People of the period, one row a bucket: whoever had a client event, and their pages. {from} may lie in the middle of a week or month.
SELECT @bucket@ AS bucket, sum(pages) AS pv, countIf(pages > 0) AS uv, count() AS active,
    countIf(first_day >= greatest(toDate(bucket), {from:Date})) AS new_users,
    countIf(pages > 0 AND first_day < greatest(toDate(bucket), {from:Date})) AS old_users
FROM
(
    SELECT @bucket_of_row@ AS bucket, user_id, countIf(is_page) AS pages
    FROM (@source@) WHERE fit
    GROUP BY bucket, user_id
) AS u
LEFT JOIN (SELECT user_id, day AS first_day FROM first_seen_v WHERE project = {project:String}) AS f USING (user_id)
GROUP BY bucket
