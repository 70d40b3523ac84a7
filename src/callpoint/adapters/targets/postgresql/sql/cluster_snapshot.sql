-- $1: account, {{parents_array}}: the parents. What all databases share, but for passwords.
WITH who AS (
  SELECT r.oid FROM pg_roles r WHERE r.rolname = $1
), ours AS (
  -- Accounts of this installation are Callpoint's own work and come and go all the time. Read as
  -- a table, because shobj_description() is planned anew for every role.
  -- Only with a name of ours, so that whoever could write a comment hides nothing: what has both is
  -- listed as an account, and ended.
  SELECT d.objoid AS oid FROM pg_shdescription d JOIN pg_roles r ON r.oid = d.objoid
  WHERE d.classoid = 'pg_authid'::regclass AND d.description ~ '^callpoint 1 {{installation}} '
    AND starts_with(r.rolname::text, '{{prefix}}')
), found (kind, name, roles) AS (
  SELECT 'role', concat_ws(' ', r.rolname,
           -- A checked-out account is locked between its uses: that is our own work.
           CASE WHEN r.rolcanlogin AND r.rolname <> ALL (ARRAY[{{checked_out}}]::text[])
             THEN 'login' END,
           CASE WHEN r.rolsuper THEN 'superuser' END, CASE WHEN r.rolcreaterole THEN 'createrole' END,
           CASE WHEN r.rolcreatedb THEN 'createdb' END, CASE WHEN r.rolbypassrls THEN 'bypassrls' END,
           CASE WHEN r.rolreplication THEN 'replication' END), '{}'::oid[]
    FROM pg_roles r WHERE r.oid NOT IN (SELECT o.oid FROM ours o)
  UNION ALL
  -- Left out: accounts in their parents, and, in 7b, the broker's powers in accounts.
  SELECT 'membership', format('%s in %s%s', m.member::regrole, m.roleid::regrole,
                              CASE WHEN m.admin_option THEN ' with admin option' ELSE '' END),
         ARRAY[m.member, m.roleid]
    FROM pg_auth_members m
    WHERE NOT (m.member IN (SELECT o.oid FROM ours o) AND NOT m.admin_option
               AND m.roleid IN (SELECT r.oid FROM pg_roles r
                                WHERE r.rolname = ANY ({{parents_array}})))
      AND NOT ('{{mode}}' = 'createrole' AND m.roleid IN (SELECT o.oid FROM ours o)
               AND m.member = to_regrole('"{{powers}}"'))
  UNION ALL
  SELECT 'setting', format('%s in %s: %s', coalesce(r.rolname, 'everybody'),
                           coalesce(b.datname, 'every database'), s.setconfig), '{}'
    FROM pg_db_role_setting s LEFT JOIN pg_roles r ON r.oid = s.setrole
    LEFT JOIN pg_database b ON b.oid = s.setdatabase
    WHERE s.setrole NOT IN (SELECT o.oid FROM ours o)
  UNION ALL
  SELECT 'prepared transaction', format('%s in %s by %s', x.gid, x.database, x.owner),
         CASE WHEN x.owner = $1 THEN ARRAY(SELECT w.oid FROM who w) ELSE '{}' END
    FROM pg_prepared_xacts x
  UNION ALL
  SELECT 'subscription', format('%s of %s', s.subname, s.subowner::regrole), ARRAY[s.subowner]
    FROM pg_subscription s
  UNION ALL
  SELECT 'database', format('%s of %s', b.datname, b.datdba::regrole), ARRAY[b.datdba]
    FROM pg_database b
  UNION ALL
  SELECT 'replication slot', format('%s', l.slot_name), '{}' FROM pg_replication_slots l
  UNION ALL
  SELECT 'parameter grant', format('%s on %s to %s', x.privilege_type, p.parname,
           CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE x.grantee::regrole::text END), ARRAY[x.grantee]
    FROM pg_parameter_acl p, LATERAL aclexplode(p.paracl) x
)
SELECT f.kind, f.name, coalesce((SELECT w.oid FROM who w) = ANY (f.roles), false) AS concerns
FROM found f
