-- $1: account, $2: its parent. One statement, run by the owner's function or, in 7b, by the broker.
WITH who AS (
  SELECT r.oid FROM pg_roles r WHERE r.rolname = $1
), parent AS (
  -- An account that no lease explains comes without its parent: the mark on the role names it.
  SELECT r.oid FROM pg_roles r WHERE r.rolname = coalesce(nullif($2, ''),
    (SELECT split_part(shobj_description(w.oid, 'pg_authid'), ' ', 5) FROM who w))
), acting AS (
  -- The account, its parent, and every role that a member of the parent may turn into.
  SELECT r.oid FROM pg_roles r
  WHERE r.oid = (SELECT w.oid FROM who w)
     OR (NOT r.rolsuper AND pg_has_role((SELECT p.oid FROM parent p), r.oid, 'MEMBER'))
), routine AS MATERIALIZED (
  -- Without an ACL of its own a function has its owner's default grants: they matter only where
  -- one of us owns it, and looking into those of every function takes most of the time.
  SELECT p.oid, p.prosecdef, p.proowner, p.proowner IN (SELECT a.oid FROM acting a) AS is_own,
         p.proacl,
         CASE WHEN p.prosecdef OR p.proowner IN (SELECT a.oid FROM acting a) THEN
           left(md5(concat_ws('|', p.prosrc, p.probin, p.proconfig, p.prosqlbody)), 12) END AS body
    FROM pg_proc p
    WHERE p.prosecdef OR p.proacl IS NOT NULL OR p.proowner IN (SELECT a.oid FROM acting a)
), granted AS MATERIALIZED (
  SELECT 'pg_class'::regclass AS class, c.oid AS object, 0 AS part, c.relacl AS acl
    FROM pg_class c WHERE c.relacl IS NOT NULL
  UNION ALL
  SELECT 'pg_class'::regclass, a.attrelid, a.attnum, a.attacl FROM pg_attribute a
    WHERE a.attacl IS NOT NULL
  UNION ALL
  SELECT 'pg_proc'::regclass, p.oid, 0, coalesce(p.proacl, acldefault('f', p.proowner))
    FROM routine p WHERE p.proacl IS NOT NULL OR p.is_own
  UNION ALL
  SELECT 'pg_namespace'::regclass, n.oid, 0, n.nspacl FROM pg_namespace n
  UNION ALL
  SELECT 'pg_type'::regclass, t.oid, 0, t.typacl FROM pg_type t WHERE t.typacl IS NOT NULL
  UNION ALL
  SELECT 'pg_foreign_server'::regclass, s.oid, 0, s.srvacl FROM pg_foreign_server s
  UNION ALL
  SELECT 'pg_foreign_data_wrapper'::regclass, f.oid, 0, f.fdwacl FROM pg_foreign_data_wrapper f
  UNION ALL
  SELECT 'pg_language'::regclass, l.oid, 0, l.lanacl FROM pg_language l
  UNION ALL
  SELECT 'pg_database'::regclass, b.oid, 0, b.datacl FROM pg_database b
    WHERE b.datname = current_database()
), entry AS MATERIALIZED (
  -- Hundreds of objects have the same few ACLs: each of those is taken apart once.
  SELECT g.acl, x.grantor, x.grantee, x.privilege_type, x.is_grantable
    FROM (SELECT DISTINCT d.acl FROM granted d WHERE d.acl IS NOT NULL) g, LATERAL aclexplode(g.acl) x
    WHERE x.grantee <> x.grantor
      AND (x.grantor IN (SELECT a.oid FROM acting a) OR x.grantee = (SELECT w.oid FROM who w))
), found (kind, name, roles) AS (
  SELECT format('object of %s', d.refobjid::regrole), format('%s %s', i.type, i.identity),
         ARRAY[d.refobjid]
    FROM pg_shdepend d, LATERAL pg_identify_object(d.classid, d.objid, d.objsubid) i
    WHERE d.dbid = (SELECT b.oid FROM pg_database b WHERE b.datname = current_database())
      AND d.refclassid = 'pg_authid'::regclass AND d.deptype = 'o'
      AND d.classid <> 'pg_largeobject'::regclass
      AND d.refobjid IN (SELECT a.oid FROM acting a)
  UNION ALL
  -- Anybody can make a million large objects: they are counted, not listed.
  SELECT format('object of %s', l.lomowner::regrole), format('%s large objects', count(*)),
         ARRAY[l.lomowner]
    FROM pg_largeobject_metadata l WHERE l.lomowner IN (SELECT a.oid FROM acting a)
    GROUP BY l.lomowner
  UNION ALL
  SELECT 'grant', format('%s on %s large objects to %s by %s', x.privilege_type, count(*),
                         CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE x.grantee::regrole::text END,
                         x.grantor::regrole),
         ARRAY[x.grantee, x.grantor]
    FROM pg_largeobject_metadata l, LATERAL aclexplode(l.lomacl) x
    WHERE x.grantee <> x.grantor
      AND (x.grantor IN (SELECT a.oid FROM acting a) OR x.grantee = (SELECT w.oid FROM who w))
    GROUP BY x.privilege_type, x.grantee, x.grantor
  UNION ALL
  SELECT CASE WHEN p.prosecdef THEN 'security definer function' ELSE 'function' END,
         format('%s of %s %s', p.oid::regprocedure, p.proowner::regrole, p.body),
         ARRAY[p.proowner]
    FROM routine p WHERE p.body IS NOT NULL
  UNION ALL
  SELECT 'trigger', format('%s on %s %s %s', t.tgname, t.tgrelid::regclass, t.tgenabled,
                           left(md5(pg_get_triggerdef(t.oid)), 12)), '{}'
    FROM pg_trigger t WHERE NOT t.tgisinternal
  UNION ALL
  SELECT 'rule', format('%s on %s %s', w.rulename, w.ev_class::regclass,
                        left(md5(pg_get_ruledef(w.oid)), 12)), '{}'
    FROM pg_rewrite w WHERE w.rulename <> '_RETURN' AND w.ev_class >= 16384
  UNION ALL
  SELECT 'policy', format('%s on %s %s', p.polname, p.polrelid::regclass,
                          left(md5(concat_ws('|', p.polcmd, p.polpermissive, p.polroles,
                                             p.polqual, p.polwithcheck)), 12)), p.polroles
    FROM pg_policy p
  UNION ALL
  SELECT 'row security off', format('%s', c.oid::regclass), '{}'
    FROM pg_class c WHERE c.relkind IN ('r', 'p') AND NOT c.relrowsecurity
      AND EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid)
  UNION ALL
  SELECT 'row security forced', format('%s', c.oid::regclass), '{}'
    FROM pg_class c WHERE c.relkind IN ('r', 'p') AND c.relforcerowsecurity
  UNION ALL
  SELECT 'event trigger', format('%s on %s %s %s', e.evtname, e.evtevent,
                                 e.evtfoid::regprocedure, e.evtenabled), '{}'
    FROM pg_event_trigger e
  UNION ALL
  SELECT 'extension', format('%s %s', e.extname, e.extversion), '{}' FROM pg_extension e
  UNION ALL
  SELECT 'publication', format('%s', p.pubname), ARRAY[p.pubowner] FROM pg_publication p
  UNION ALL
  SELECT 'user mapping', format('%s on %s', u.usename, u.srvname), ARRAY[u.umuser]
    FROM pg_user_mappings u
  UNION ALL
  SELECT 'default privilege',
         format('of %s in %s on %s: %s to %s', d.defaclrole::regrole,
                CASE d.defaclnamespace WHEN 0 THEN 'every schema'
                     ELSE d.defaclnamespace::regnamespace::text END,
                d.defaclobjtype, x.privilege_type,
                CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE x.grantee::regrole::text END),
         ARRAY[d.defaclrole, x.grantee]
    FROM pg_default_acl d, LATERAL aclexplode(d.defaclacl) x
  UNION ALL
  -- The name is looked up last: for every function of the server it would take a tenth of a second.
  SELECT 'grant',
         format('%s on %s to %s by %s', x.privilege_type || CASE WHEN x.is_grantable
                THEN ' with grant option' ELSE '' END,
                (SELECT concat_ws(' ', i.type, i.identity)
                 FROM pg_identify_object(o.class, o.object, o.part) i),
                CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE x.grantee::regrole::text END,
                x.grantor::regrole),
         ARRAY[x.grantee, x.grantor]
    FROM granted o JOIN entry x ON x.acl = o.acl
)
SELECT f.kind, f.name, coalesce((SELECT w.oid FROM who w) = ANY (f.roles), false) AS concerns
FROM found f
