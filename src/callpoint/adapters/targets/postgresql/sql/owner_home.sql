-- ===== Part for the database {{database}} only, which the broker logs in to ================

DO $callpoint$
DECLARE
  wanted text;
BEGIN
  IF current_database() <> '{{database}}' THEN
    RAISE EXCEPTION 'this part belongs into the database {{database}}, not %', current_database();
  END IF;
  FOREACH wanted IN ARRAY ARRAY[{{parents}}]::text[] LOOP
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = wanted) THEN
      RAISE EXCEPTION 'parent role % does not exist', wanted
        USING HINT = 'CREATE ROLE … NOLOGIN, grant it what a repair needs, run this again.';
    END IF;
  END LOOP;
END
$callpoint$;

-- Only the functions read and write these; the broker has no right on them.
CREATE TABLE IF NOT EXISTS {{schema}}.parent (parent name PRIMARY KEY);
CREATE TABLE IF NOT EXISTS {{schema}}.account (
  account          name PRIMARY KEY,
  oid              oid NOT NULL,
  parent           name NOT NULL,
  made_at          timestamptz NOT NULL DEFAULT clock_timestamp(),
  not_after        timestamptz NOT NULL,
  secret_mark      bytea NOT NULL,          -- tells whether the actor changed its own password
  password_changed boolean NOT NULL DEFAULT false,
  dropped_at       timestamptz
);
CREATE TABLE IF NOT EXISTS {{schema}}.reaper_run (
  at     timestamptz NOT NULL DEFAULT clock_timestamp(),
  ended  integer NOT NULL,
  failed integer NOT NULL,
  by     name NOT NULL DEFAULT session_user
);
CREATE TABLE IF NOT EXISTS {{schema}}.pepper (value bytea NOT NULL);
REVOKE ALL ON ALL TABLES IN SCHEMA {{schema}} FROM PUBLIC, "{{broker}}";

-- A role with pg_write_all_data may write to every table, and an account's parent may be one: whoever
-- could write here would lengthen the owner's lists, or keep the reaper from what is due.
CREATE OR REPLACE FUNCTION {{schema}}.owners_only() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $callpoint$
BEGIN
  IF (SELECT r.rolsuper FROM pg_roles r WHERE r.rolname = current_user) IS NOT TRUE THEN
    RAISE EXCEPTION 'only the owner''s functions write here' USING ERRCODE = '42501';
  END IF;
  RETURN NULL;
END
$callpoint$;
CREATE OR REPLACE TRIGGER owners_only BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE
  ON {{schema}}.parent FOR EACH STATEMENT EXECUTE FUNCTION {{schema}}.owners_only();
CREATE OR REPLACE TRIGGER owners_only BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE
  ON {{schema}}.account FOR EACH STATEMENT EXECUTE FUNCTION {{schema}}.owners_only();
CREATE OR REPLACE TRIGGER owners_only BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE
  ON {{schema}}.reaper_run FOR EACH STATEMENT EXECUTE FUNCTION {{schema}}.owners_only();
CREATE OR REPLACE TRIGGER owners_only BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE
  ON {{schema}}.pepper FOR EACH STATEMENT EXECUTE FUNCTION {{schema}}.owners_only();

-- Makes marks of verifiers that nobody can guess backwards.
INSERT INTO {{schema}}.pepper
  SELECT pg_catalog.sha256((pg_catalog.gen_random_uuid()::text || pg_catalog.gen_random_uuid()::text)::bytea)
  WHERE NOT EXISTS (SELECT FROM {{schema}}.pepper);
DELETE FROM {{schema}}.parent;
INSERT INTO {{schema}}.parent SELECT pg_catalog.unnest(ARRAY[{{parents}}]::name[]);

CREATE OR REPLACE FUNCTION {{schema}}.mark(secret text) RETURNS bytea
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $callpoint$ SELECT sha256(p.value || convert_to(secret, 'UTF8')) FROM {{schema}}.pepper p $callpoint$;

-- Whether a role is, or can become, one that could take over the server.
CREATE OR REPLACE FUNCTION {{schema}}.has_power(who text) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $callpoint$
  SELECT count(*) > 0 FROM pg_roles r
  WHERE pg_has_role(who, r.oid, 'MEMBER')
    AND (r.rolsuper OR r.rolcreaterole OR r.rolreplication OR r.rolbypassrls
         OR r.rolname IN ('pg_execute_server_program', 'pg_read_server_files',
                          'pg_write_server_files', '{{custodian}}', '{{broker}}'))
$callpoint$;

-- A parent that could take over the server would make every account a superuser.
CREATE OR REPLACE FUNCTION {{schema}}.parent_is_safe(parent text) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $callpoint$
  SELECT NOT {{schema}}.has_power(parent)
    AND NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = parent AND r.rolcanlogin)
$callpoint$;

CREATE OR REPLACE FUNCTION {{schema}}.create_account(
  account text, verifier text, parent text, not_after timestamptz, connections integer
) RETURNS oid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $callpoint$
DECLARE
  who oid;
BEGIN
  IF {{schema}}.made(account) IS NOT NULL THEN
    RAISE EXCEPTION 'account % exists already', account USING ERRCODE = '42710';
  END IF;
  -- PostgreSQL would take anything else for a plaintext password and hash it.
  IF (verifier ~ '^SCRAM-SHA-256\$[1-9][0-9]{3,5}:[A-Za-z0-9+/]{22}==\$[A-Za-z0-9+/]{43}=:[A-Za-z0-9+/]{43}=$')
     IS NOT TRUE THEN
    RAISE EXCEPTION 'not a SCRAM-SHA-256 verifier' USING ERRCODE = '22023';
  END IF;
  IF NOT EXISTS (SELECT FROM {{schema}}.parent p WHERE p.parent = create_account.parent) THEN
    RAISE EXCEPTION 'parent role is not on the owner''s list' USING ERRCODE = '42501';
  END IF;
  IF {{schema}}.parent_is_safe(parent) IS NOT TRUE THEN
    RAISE EXCEPTION 'parent role % can log in or has powers over the server', parent
      USING ERRCODE = '42501';
  END IF;
  IF (not_after > clock_timestamp() AND not_after <= clock_timestamp() + interval '{{longest}}')
     IS NOT TRUE THEN
    RAISE EXCEPTION 'the end lies in the past or more than {{longest}} ahead' USING ERRCODE = '22023';
  END IF;
  IF (connections BETWEEN 1 AND {{connections}}) IS NOT TRUE THEN
    RAISE EXCEPTION 'connection limit outside 1 to {{connections}}' USING ERRCODE = '22023';
  END IF;
  EXECUTE format(
    'CREATE ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS NOINHERIT '
    'CONNECTION LIMIT %s PASSWORD %L VALID UNTIL %L IN ROLE %I', account, connections, verifier,
    to_char(not_after AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US"+00"'), parent);
  EXECUTE format('COMMENT ON ROLE %I IS %L', account, format('callpoint 1 {{installation}} %s %s',
    ceil(extract(epoch FROM not_after))::bigint, parent));
  SELECT r.oid INTO STRICT who FROM pg_authid r
    WHERE r.rolname = account AND r.rolpassword = verifier;
  INSERT INTO {{schema}}.account AS a (account, oid, parent, not_after, secret_mark)
    VALUES (account, who, parent, not_after, {{schema}}.mark(verifier));
  RETURN who;
END
$callpoint$;

-- Notes first whether the actor changed its password, because disabling removes it. Everybody may
-- change the own password, and an open transaction that did so holds the role's row: whoever holds
-- it is ended, not waited for, and what comes back meanwhile queues behind us.
CREATE OR REPLACE FUNCTION {{schema}}.disable(account text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms'
AS $callpoint$
DECLARE
  who oid := {{schema}}.made(account);
  held record;
  tries integer := 0;
BEGIN
  LOOP
    SELECT r.rolpassword, r.rolcanlogin INTO held FROM pg_authid r WHERE r.oid = who;
    IF who IS NULL OR (held.rolpassword IS NULL AND NOT held.rolcanlogin) THEN
      RETURN false;
    END IF;
    BEGIN
      UPDATE {{schema}}.account a SET password_changed = true
        WHERE a.oid = who AND held.rolpassword IS NOT NULL
          AND a.secret_mark <> {{schema}}.mark(held.rolpassword);
      EXECUTE format(
        'ALTER ROLE %I NOLOGIN CONNECTION LIMIT 0 PASSWORD NULL VALID UNTIL ''-infinity''', account);
      RETURN true;
    -- internal_error: "tuple concurrently updated", the other one committed first.
    EXCEPTION WHEN lock_not_available OR deadlock_detected OR internal_error OR out_of_memory THEN
      tries := tries + 1;
      IF tries = 10 THEN
        RAISE;
      END IF;
      PERFORM pg_stat_clear_snapshot();
      PERFORM pg_terminate_backend(s.pid) FROM pg_stat_activity s WHERE s.usesysid = who;
    END;
  END LOOP;
END
$callpoint$;

-- Every oid the account has or had: a session that outlives its role has no name any more.
CREATE OR REPLACE FUNCTION {{schema}}.oids(account text) RETURNS oid[]
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $callpoint$
  SELECT array_agg(o.oid) FROM (
    SELECT {{schema}}.known(account) AS oid
    UNION
    SELECT a.oid FROM {{schema}}.account a WHERE a.account = oids.account
      AND NOT EXISTS (SELECT FROM pg_authid r WHERE r.oid = a.oid AND r.rolname <> a.account)
  ) o WHERE o.oid IS NOT NULL
$callpoint$;

-- PL/pgSQL here, because it plans once for each connection and not for each call; and the oids are
-- looked up first, as in the condition they would be looked up for every session of the server.
-- The server shows one picture of its sessions to a whole transaction: one that was ended since the
-- picture was taken (take_back, reap) would still be counted, and the account not dropped.
CREATE OR REPLACE FUNCTION {{schema}}.sessions(account text) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $callpoint$
DECLARE
  those oid[] := {{schema}}.oids(account);
BEGIN
  PERFORM pg_stat_clear_snapshot();
  RETURN (SELECT count(*)::integer FROM pg_stat_activity s WHERE s.usesysid = ANY (those));
END
$callpoint$;

-- Asks every session to end and says how many there were. Writes nothing, so that it also runs
-- on a standby.
CREATE OR REPLACE FUNCTION {{schema}}.terminate(account text) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $callpoint$
DECLARE
  those oid[] := {{schema}}.oids(account);
BEGIN
  RETURN (SELECT count(pg_terminate_backend(s.pid))::integer
          FROM pg_stat_activity s WHERE s.usesysid = ANY (those));
END
$callpoint$;

CREATE OR REPLACE FUNCTION {{schema}}.databases(account text) RETURNS SETOF name
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $callpoint$
  SELECT DISTINCT b.datname FROM pg_shdepend d JOIN pg_database b ON b.oid = d.dbid
  WHERE d.refclassid = 'pg_authid'::regclass AND d.refobjid = {{schema}}.made(account)
$callpoint$;

CREATE OR REPLACE FUNCTION {{schema}}.drop_account(account text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $callpoint$
DECLARE
  who oid := {{schema}}.made(account);
BEGIN
  IF who IS NULL THEN
    RETURN false;
  END IF;
  IF (SELECT r.rolcanlogin FROM pg_authid r WHERE r.oid = who) THEN
    RAISE EXCEPTION 'disable % before it is dropped', account USING ERRCODE = '55000';
  END IF;
  IF {{schema}}.sessions(account) > 0 THEN
    -- PostgreSQL would drop it all the same, and its sessions would go on.
    RAISE EXCEPTION '% has live sessions', account USING ERRCODE = '55006';
  END IF;
  EXECUTE format('DROP ROLE %I', account);
  UPDATE {{schema}}.account a SET dropped_at = clock_timestamp() WHERE a.oid = who;
  RETURN true;
END
$callpoint$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA {{schema}} FROM PUBLIC;
GRANT EXECUTE ON FUNCTION {{schema}}.create_account(text, text, text, timestamptz, integer)
  TO "{{broker}}";
GRANT EXECUTE ON FUNCTION {{schema}}.disable(text) TO "{{broker}}";
GRANT EXECUTE ON FUNCTION {{schema}}.sessions(text) TO "{{broker}}";
GRANT EXECUTE ON FUNCTION {{schema}}.terminate(text) TO "{{broker}}";
GRANT EXECUTE ON FUNCTION {{schema}}.databases(text) TO "{{broker}}";
GRANT EXECUTE ON FUNCTION {{schema}}.drop_account(text) TO "{{broker}}";
