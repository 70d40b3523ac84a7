-- ===== Part for every database: {{schema}}, version {{version}} ==========================
-- Run it as a superuser in each database in which an account could own or be granted anything.
-- Running it again upgrades it.

DO $callpoint$
BEGIN
  IF NOT (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user) THEN
    RAISE EXCEPTION 'run this script as a superuser: its functions end sessions and reassign objects'
      USING HINT = 'Where there is no superuser, use mode = "createrole".';
  END IF;
  IF EXISTS (SELECT FROM pg_catalog.pg_namespace n JOIN pg_catalog.pg_roles r ON r.oid = n.nspowner
             WHERE n.nspname = '{{schema}}' AND NOT r.rolsuper) THEN
    -- Whoever owns the schema could put a function of theirs in the place of ours.
    RAISE EXCEPTION 'schema {{schema}} exists and is not owned by a superuser';
  END IF;
  IF pg_catalog.to_regrole('{{custodian}}') IS NULL THEN
    CREATE ROLE {{custodian}} NOLOGIN;
  END IF;
  IF pg_catalog.to_regrole('"{{broker}}"') IS NULL THEN
    -- Without a password nobody can log in with it yet: set one with \password.
    CREATE ROLE "{{broker}}" LOGIN NOINHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION;
  END IF;
END
$callpoint$;

CREATE SCHEMA IF NOT EXISTS {{schema}};
REVOKE ALL ON SCHEMA {{schema}} FROM PUBLIC;
GRANT USAGE ON SCHEMA {{schema}} TO "{{broker}}";

CREATE OR REPLACE FUNCTION {{schema}}.version() RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $callpoint$ SELECT '{{version}}' $callpoint$;

-- The gate of every other function: the role of that name if this installation made it, NULL if
-- there is no such role, an error for anybody else's. The mark is a comment on the role, which
-- only CREATEROLE (or an admin of the role) can write: neither the broker nor an account can.
CREATE OR REPLACE FUNCTION {{schema}}.made(account text) RETURNS oid
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $callpoint$
DECLARE
  found_oid oid;
BEGIN
  IF (account ~ '^{{prefix}}[a-z0-9]{1,18}$') IS NOT TRUE THEN
    RAISE EXCEPTION 'not an account of this installation' USING ERRCODE = '42501';
  END IF;
  SELECT r.oid INTO found_oid FROM pg_authid r WHERE r.rolname = account;
  IF found_oid IS NOT NULL AND
     (shobj_description(found_oid, 'pg_authid') ~ '^callpoint 1 {{installation}} [0-9]+ ') IS NOT TRUE THEN
    RAISE EXCEPTION 'role % was not made by these functions', account USING ERRCODE = '42501';
  END IF;
  RETURN found_oid;
END
$callpoint$;

-- Grants that DROP OWNED cannot take back: it revokes as the object's owner, and does nothing,
-- without an error, where another role with a grant option was the grantor. Then DROP ROLE fails
-- for ever. So those are revoked as the grantor, by a function that belongs to the grantor for a
-- moment: SET ROLE is not allowed here.
CREATE OR REPLACE FUNCTION {{schema}}.revoke_as_grantor(account text) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $callpoint$
DECLARE
  who oid := {{schema}}.made(account);
  entry record;
  helper text := format('{{schema}}.as_grantor_%s', pg_backend_pid());
  revoked integer := 0;
BEGIN
  FOR entry IN
    SELECT DISTINCT o.what, x.privilege_type || o.columns AS privilege, x.grantor::regrole::text AS grantor
    FROM (
      SELECT format('TABLE %s', c.oid::regclass) AS what, '' AS columns, c.relacl AS acl,
             c.relowner AS owner
        FROM pg_class c WHERE c.relkind IN ('r', 'v', 'm', 'f', 'p')
      UNION ALL
      SELECT format('SEQUENCE %s', c.oid::regclass), '', c.relacl, c.relowner
        FROM pg_class c WHERE c.relkind = 'S'
      UNION ALL
      SELECT format('TABLE %s', c.oid::regclass), format(' (%I)', a.attname), a.attacl, c.relowner
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
      UNION ALL
      SELECT format('ROUTINE %s', p.oid::regprocedure), '', p.proacl, p.proowner FROM pg_proc p
      UNION ALL
      SELECT format('SCHEMA %I', n.nspname), '', n.nspacl, n.nspowner FROM pg_namespace n
      UNION ALL
      SELECT format('TYPE %s', t.oid::regtype), '', t.typacl, t.typowner FROM pg_type t
      UNION ALL
      SELECT format('LARGE OBJECT %s', l.oid), '', l.lomacl, l.lomowner
        FROM pg_largeobject_metadata l
      UNION ALL
      SELECT format('FOREIGN SERVER %I', s.srvname), '', s.srvacl, s.srvowner
        FROM pg_foreign_server s
      UNION ALL
      SELECT format('FOREIGN DATA WRAPPER %I', f.fdwname), '', f.fdwacl, f.fdwowner
        FROM pg_foreign_data_wrapper f
      UNION ALL
      SELECT format('LANGUAGE %I', l.lanname), '', l.lanacl, l.lanowner FROM pg_language l
      UNION ALL
      SELECT format('DATABASE %I', d.datname), '', d.datacl, d.datdba FROM pg_database d
      UNION ALL
      SELECT format('TABLESPACE %I', t.spcname), '', t.spcacl, t.spcowner FROM pg_tablespace t
    ) o, LATERAL aclexplode(o.acl) x
    WHERE o.acl IS NOT NULL AND x.grantee = who AND x.grantor NOT IN (o.owner, who)
  LOOP
    -- The exact privilege and never ALL: for ALL, a grantor who is also a member of the owner
    -- would act as the owner, and nothing would happen.
    EXECUTE format('CREATE FUNCTION %s() RETURNS void LANGUAGE plpgsql SECURITY DEFINER '
                   'SET search_path = pg_catalog, pg_temp AS %L', helper,
                   format('BEGIN REVOKE %s ON %s FROM %I CASCADE; END', entry.privilege, entry.what,
                          account));
    EXECUTE format('ALTER FUNCTION %s() OWNER TO %s', helper, entry.grantor);
    EXECUTE format('SELECT %s()', helper);
    EXECUTE format('DROP FUNCTION %s()', helper);
    revoked := revoked + 1;
  END LOOP;
  RETURN revoked;
END
$callpoint$;

-- What the account owns in this database goes to the custodian, what it was granted goes away.
CREATE OR REPLACE FUNCTION {{schema}}.sweep(account text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $callpoint$
BEGIN
  IF {{schema}}.made(account) IS NULL THEN
    RETURN;
  END IF;
  PERFORM {{schema}}.revoke_as_grantor(account);
  EXECUTE format('REASSIGN OWNED BY %I TO {{custodian}}', account);
  EXECUTE format('DROP OWNED BY %I', account);
END
$callpoint$;

-- What somebody could leave in this database to come back. `concerns`: it names the account.
CREATE OR REPLACE FUNCTION {{schema}}.snapshot(account text, parent text)
RETURNS TABLE (kind text, name text, concerns boolean)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $callpoint$
DECLARE
  who oid := {{schema}}.made(account);
  acting oid[];
BEGIN
  -- An account that no lease explains comes without its parent: the mark on the role names it.
  parent := coalesce(nullif(parent, ''), split_part(shobj_description(who, 'pg_authid'), ' ', 5));
  -- The account, its parent, and every role that a member of the parent may turn into.
  SELECT coalesce(array_agg(r.oid), '{}') INTO acting FROM pg_roles r
    WHERE r.oid = who
       OR (NOT r.rolsuper AND EXISTS (SELECT FROM pg_roles p WHERE p.rolname = parent
                                      AND pg_has_role(p.oid, r.oid, 'MEMBER')));

  RETURN QUERY
  SELECT format('object of %s', d.refobjid::regrole),
         format('%s %s', i.type, i.identity), d.refobjid IS NOT DISTINCT FROM who
    FROM pg_shdepend d, LATERAL pg_identify_object(d.classid, d.objid, d.objsubid) i
    WHERE d.dbid = (SELECT b.oid FROM pg_database b WHERE b.datname = current_database())
      AND d.refclassid = 'pg_authid'::regclass AND d.deptype = 'o' AND d.refobjid = ANY (acting);

  RETURN QUERY
  SELECT CASE WHEN p.prosecdef THEN 'security definer function' ELSE 'function' END,
         format('%s of %s %s', p.oid::regprocedure, p.proowner::regrole,
                left(md5(concat_ws('|', p.prosrc, p.probin, p.proconfig, p.prosqlbody)), 12)),
         p.proowner IS NOT DISTINCT FROM who
    FROM pg_proc p WHERE p.prosecdef OR p.proowner = ANY (acting);

  RETURN QUERY
  SELECT 'trigger', format('%s on %s %s %s', t.tgname, t.tgrelid::regclass, t.tgenabled,
                           left(md5(pg_get_triggerdef(t.oid)), 12)), false
    FROM pg_trigger t WHERE NOT t.tgisinternal
  UNION ALL
  SELECT 'rule', format('%s on %s %s', w.rulename, w.ev_class::regclass,
                        left(md5(pg_get_ruledef(w.oid)), 12)), false
    FROM pg_rewrite w WHERE w.rulename <> '_RETURN' AND w.ev_class >= 16384
  UNION ALL
  SELECT 'policy', format('%s on %s %s', p.polname, p.polrelid::regclass,
                          left(md5(concat_ws('|', p.polcmd, p.polpermissive, p.polroles,
                                             p.polqual, p.polwithcheck)), 12)),
         coalesce(who = ANY (p.polroles), false)
    FROM pg_policy p
  UNION ALL
  SELECT 'row security off', format('%s', c.oid::regclass), false
    FROM pg_class c WHERE c.relkind IN ('r', 'p') AND NOT c.relrowsecurity
      AND EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid)
  UNION ALL
  SELECT 'event trigger', format('%s on %s %s %s', e.evtname, e.evtevent,
                                 e.evtfoid::regprocedure, e.evtenabled), false
    FROM pg_event_trigger e
  UNION ALL
  SELECT 'extension', format('%s %s', e.extname, e.extversion), false FROM pg_extension e
  UNION ALL
  SELECT 'publication', format('%s', p.pubname), p.pubowner IS NOT DISTINCT FROM who
    FROM pg_publication p
  UNION ALL
  SELECT 'user mapping', format('%s on %s', u.usename, u.srvname),
         coalesce(u.umuser = who, false)
    FROM pg_user_mappings u;

  RETURN QUERY
  SELECT 'default privilege',
         format('of %s in %s on %s: %s to %s', d.defaclrole::regrole,
                CASE d.defaclnamespace WHEN 0 THEN 'every schema'
                     ELSE d.defaclnamespace::regnamespace::text END,
                d.defaclobjtype, x.privilege_type,
                CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE x.grantee::regrole::text END),
         coalesce(who IN (d.defaclrole, x.grantee), false)
    FROM pg_default_acl d, LATERAL aclexplode(d.defaclacl) x;

  RETURN QUERY
  SELECT 'grant',
         format('%s on %s to %s by %s', x.privilege_type || CASE WHEN x.is_grantable
                THEN ' with grant option' ELSE '' END, o.what,
                CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE x.grantee::regrole::text END,
                x.grantor::regrole),
         coalesce(who IN (x.grantee, x.grantor), false)
    FROM (
      SELECT c.oid::regclass::text AS what, c.relacl AS acl FROM pg_class c
      UNION ALL
      SELECT format('%s(%s)', a.attrelid::regclass, a.attname), a.attacl FROM pg_attribute a
      UNION ALL
      SELECT format('function %s', p.oid::regprocedure),
             coalesce(p.proacl, acldefault('f', p.proowner)) FROM pg_proc p
      UNION ALL
      SELECT format('schema %s', n.nspname), n.nspacl FROM pg_namespace n
      UNION ALL
      SELECT format('type %s', t.oid::regtype), t.typacl FROM pg_type t
      UNION ALL
      SELECT format('large object %s', l.oid), l.lomacl FROM pg_largeobject_metadata l
      UNION ALL
      SELECT format('server %s', s.srvname), s.srvacl FROM pg_foreign_server s
      UNION ALL
      SELECT format('wrapper %s', f.fdwname), f.fdwacl FROM pg_foreign_data_wrapper f
      UNION ALL
      SELECT format('language %s', l.lanname), l.lanacl FROM pg_language l
      UNION ALL
      SELECT format('database %s', b.datname), b.datacl FROM pg_database b
        WHERE b.datname = current_database()
    ) o, LATERAL aclexplode(o.acl) x
    WHERE o.acl IS NOT NULL AND x.grantee <> x.grantor
      AND (x.grantor = ANY (acting) OR x.grantee IS NOT DISTINCT FROM who);

  IF to_regclass('cron.job') IS NOT NULL THEN
    RETURN QUERY EXECUTE
      'SELECT ''pg_cron job'', format(''%s as %s at %s %s'', j.jobid, j.username, j.schedule,'
      ' left(md5(j.command), 12)), j.username = $1 FROM cron.job j' USING account;
  END IF;
END
$callpoint$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA {{schema}} FROM PUBLIC;
GRANT EXECUTE ON FUNCTION {{schema}}.version() TO "{{broker}}";
GRANT EXECUTE ON FUNCTION {{schema}}.sweep(text) TO "{{broker}}";
GRANT EXECUTE ON FUNCTION {{schema}}.snapshot(text, text) TO "{{broker}}";
