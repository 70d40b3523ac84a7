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

-- The gate of what only looks, or ends sessions: also the accounts that the owner lets Callpoint
-- check out. They have no mark, and the functions that disable and drop do not take them.
CREATE OR REPLACE FUNCTION {{schema}}.known(account text) RETURNS oid
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $callpoint$
BEGIN
  IF account = ANY (ARRAY[{{checked_out}}]::text[]) THEN
    RETURN (SELECT r.oid FROM pg_authid r WHERE r.rolname = account);
  END IF;
  RETURN {{schema}}.made(account);
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
  -- Every grant to a role stands there, also those on what databases share: mostly there is none,
  -- and looking into the ACLs of the whole database takes longer than all the rest.
  IF NOT EXISTS (SELECT FROM pg_shdepend d
                 WHERE d.refclassid = 'pg_authid'::regclass AND d.refobjid = who) THEN
    RETURN 0;
  END IF;
  FOR entry IN
    SELECT DISTINCT o.what, x.privilege_type || o.columns AS privilege, x.grantor::regrole::text AS grantor,
           -- To name an object one needs USAGE on its schema, which its owner may take from itself.
           (SELECT n.nspname FROM pg_namespace n WHERE n.oid = o.space
              AND NOT has_schema_privilege(x.grantor, n.oid, 'USAGE')) AS closed
    FROM (
      SELECT format('TABLE %s', c.oid::regclass) AS what, '' AS columns, c.relacl AS acl,
             c.relowner AS owner, c.relnamespace AS space
        FROM pg_class c WHERE c.relkind IN ('r', 'v', 'm', 'f', 'p')
      UNION ALL
      SELECT format('SEQUENCE %s', c.oid::regclass), '', c.relacl, c.relowner, c.relnamespace
        FROM pg_class c WHERE c.relkind = 'S'
      UNION ALL
      SELECT format('TABLE %s', c.oid::regclass), format(' (%I)', a.attname), a.attacl, c.relowner,
             c.relnamespace
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
      UNION ALL
      SELECT format('ROUTINE %s', p.oid::regprocedure), '', p.proacl, p.proowner,
             p.pronamespace
        FROM pg_proc p
      UNION ALL
      SELECT format('SCHEMA %I', n.nspname), '', n.nspacl, n.nspowner, 0 FROM pg_namespace n
      UNION ALL
      SELECT format('TYPE %s', t.oid::regtype), '', t.typacl, t.typowner, t.typnamespace
        FROM pg_type t
      UNION ALL
      SELECT format('LARGE OBJECT %s', l.oid), '', l.lomacl, l.lomowner, 0
        FROM pg_largeobject_metadata l
      UNION ALL
      SELECT format('FOREIGN SERVER %I', s.srvname), '', s.srvacl, s.srvowner, 0
        FROM pg_foreign_server s
      UNION ALL
      SELECT format('FOREIGN DATA WRAPPER %I', f.fdwname), '', f.fdwacl, f.fdwowner, 0
        FROM pg_foreign_data_wrapper f
      UNION ALL
      SELECT format('LANGUAGE %I', l.lanname), '', l.lanacl, l.lanowner, 0
        FROM pg_language l
      UNION ALL
      SELECT format('DATABASE %I', d.datname), '', d.datacl, d.datdba, 0
        FROM pg_database d
      UNION ALL
      SELECT format('TABLESPACE %I', t.spcname), '', t.spcacl, t.spcowner, 0
        FROM pg_tablespace t
      UNION ALL
      -- The server's own settings belong to the superuser that initdb made.
      SELECT format('PARAMETER %I', p.parname), '', p.paracl, 10, 0 FROM pg_parameter_acl p
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
    IF entry.closed IS NOT NULL THEN
      EXECUTE format('GRANT USAGE ON SCHEMA %I TO %s', entry.closed, entry.grantor);
    END IF;
    EXECUTE format('SELECT %s()', helper);
    EXECUTE format('DROP FUNCTION %s()', helper);
    IF entry.closed IS NOT NULL THEN
      EXECUTE format('REVOKE USAGE ON SCHEMA %I FROM %s', entry.closed, entry.grantor);
    END IF;
    revoked := revoked + 1;
  END LOOP;
  RETURN revoked;
END
$callpoint$;

-- What the account owns in this database goes to the custodian, what it was granted goes away.
-- False: there is more, call it again. Anybody can make a million large objects, and one call that
-- moves them all would never end within anybody's time limit.
CREATE OR REPLACE FUNCTION {{schema}}.sweep(account text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $callpoint$
DECLARE
  who oid := {{schema}}.made(account);
  item record;
  moved integer := 0;
BEGIN
  IF who IS NULL THEN
    RETURN true;
  END IF;
  FOR item IN
    SELECT l.oid, l.lomowner = who AS own FROM pg_shdepend d
    JOIN pg_largeobject_metadata l ON l.oid = d.objid
    WHERE d.dbid = (SELECT b.oid FROM pg_database b WHERE b.datname = current_database())
      AND d.classid = 'pg_largeobject'::regclass
      AND d.refclassid = 'pg_authid'::regclass AND d.refobjid = who
      AND (l.lomowner = who OR EXISTS (SELECT FROM aclexplode(l.lomacl) x
                                       WHERE x.grantee = who AND x.grantor = l.lomowner))
    LIMIT {{batch}}
  LOOP
    EXECUTE format(CASE WHEN item.own THEN 'ALTER LARGE OBJECT %s OWNER TO {{custodian}}'
                        ELSE 'REVOKE ALL ON LARGE OBJECT %s FROM %I CASCADE' END, item.oid, account);
    moved := moved + 1;
  END LOOP;
  IF moved = {{batch}} THEN
    RETURN false;
  END IF;
  PERFORM {{schema}}.revoke_as_grantor(account);
  EXECUTE format('REASSIGN OWNED BY %I TO {{custodian}}', account);
  EXECUTE format('DROP OWNED BY %I', account);
  RETURN true;
END
$callpoint$;

-- What somebody could leave in this database to come back. `concerns`: it names the account.
CREATE OR REPLACE FUNCTION {{schema}}.snapshot(account text, parent text)
RETURNS TABLE (kind text, name text, concerns boolean)
LANGUAGE plpgsql STABLE SECURITY DEFINER
-- Planning takes as long as looking, and comes to the same for every account.
SET plan_cache_mode = force_generic_plan SET search_path = pg_catalog, pg_temp
AS $callpoint$
BEGIN
  PERFORM {{schema}}.known(account);
  RETURN QUERY
{{database_snapshot}};
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
