-- ===== Checked-out accounts (database {{database}} only) ==================================
-- Roles of yours that were there before, stay, and are handed out with a fresh secret for one
-- activation at a time. The list is fixed here: whoever has the broker's login can do to these what
-- the functions below do, and so can work as any of them. None can ever have power over the server.

DO $callpoint$
DECLARE
  wanted text;
BEGIN
  FOREACH wanted IN ARRAY ARRAY[{{checked_out}}]::text[] LOOP
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = wanted) THEN
      RAISE EXCEPTION 'the account % does not exist', wanted
        USING HINT = 'CREATE ROLE … NOLOGIN, grant it what its users need, run this again.';
    END IF;
  END LOOP;
END
$callpoint$;

CREATE TABLE IF NOT EXISTS {{schema}}.checked_out (
  account          name PRIMARY KEY,
  generation       bigint NOT NULL DEFAULT 0,     -- an older one arrives late and changes nothing
  secret_mark      bytea,                         -- of the secret that was set last
  password_changed boolean NOT NULL DEFAULT false,
  until            timestamptz                    -- while somebody has it: the reaper's moment
);
REVOKE ALL ON {{schema}}.checked_out FROM PUBLIC, "{{broker}}";
CREATE OR REPLACE TRIGGER owners_only BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE
  ON {{schema}}.checked_out FOR EACH STATEMENT EXECUTE FUNCTION {{schema}}.owners_only();
DELETE FROM {{schema}}.checked_out c WHERE c.account <> ALL (ARRAY[{{checked_out}}]::name[]);
INSERT INTO {{schema}}.checked_out (account)
  SELECT pg_catalog.unnest(ARRAY[{{checked_out}}]::name[]) ON CONFLICT DO NOTHING;

-- The gate: a role on the list that has no power over the server now; an error for any other.
CREATE OR REPLACE FUNCTION {{schema}}.listed(account text) RETURNS oid
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $callpoint$
BEGIN
  IF NOT EXISTS (SELECT FROM {{schema}}.checked_out c WHERE c.account = listed.account) THEN
    RAISE EXCEPTION 'account is not on the owner''s list' USING ERRCODE = '42501';
  END IF;
  IF to_regrole(quote_ident(account)) IS NULL THEN
    RAISE EXCEPTION 'account % does not exist', account USING ERRCODE = '42704';
  END IF;
  IF {{schema}}.has_power(account) IS NOT FALSE THEN
    RAISE EXCEPTION 'account % has powers over the server', account USING ERRCODE = '42501';
  END IF;
  RETURN {{schema}}.known(account);
END
$callpoint$;

-- As in disable(): everybody may change the own password, and an open transaction that did so
-- holds the role's row. Whoever is on the account is ended, not waited for.
CREATE OR REPLACE FUNCTION {{schema}}.alter_listed(account text, change text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms'
AS $callpoint$
DECLARE
  who oid := {{schema}}.listed(account);
  tries integer := 0;
BEGIN
  LOOP
    BEGIN
      EXECUTE format('ALTER ROLE %I %s', account, change);
      RETURN;
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

-- The new secret. `until`: somebody has the account so long; NULL: nobody has. `opens`: it lets
-- in whoever knows the secret; without an end only where the owner lets an account stay open between
-- its uses, else it is locked. The same generation may come again.
CREATE OR REPLACE FUNCTION {{schema}}.rotate(
  account text, verifier text, generation bigint, opens boolean, until timestamptz
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '1s'
AS $callpoint$
DECLARE
  who oid := {{schema}}.listed(account);
  last {{schema}}.checked_out;
  found_secret text;
BEGIN
  IF (verifier ~ '^SCRAM-SHA-256\$[1-9][0-9]{3,5}:[A-Za-z0-9+/]{22}==\$[A-Za-z0-9+/]{43}=:[A-Za-z0-9+/]{43}=$')
     IS NOT TRUE THEN
    RAISE EXCEPTION 'not a SCRAM-SHA-256 verifier' USING ERRCODE = '22023';
  END IF;
  IF opens IS NULL OR (until IS NOT NULL AND (opens AND until > clock_timestamp()
       AND until <= clock_timestamp() + interval '{{longest}}') IS NOT TRUE) THEN
    RAISE EXCEPTION 'the end lies in the past or more than {{longest}} ahead' USING ERRCODE = '22023';
  END IF;
  SELECT c.* INTO STRICT last FROM {{schema}}.checked_out c WHERE c.account = rotate.account FOR UPDATE;
  IF (generation >= last.generation) IS NOT TRUE THEN
    RAISE EXCEPTION 'generation % of % is over', generation, account USING ERRCODE = '55000';
  END IF;
  PERFORM {{schema}}.alter_listed(account, CASE WHEN until IS NULL THEN 'NOLOGIN' ELSE 'LOGIN' END);
  -- Our change above is not committed, so the row is ours: what stands there now is what was left.
  SELECT r.rolpassword INTO found_secret FROM pg_authid r WHERE r.oid = who;
  PERFORM {{schema}}.alter_listed(account, format('%s PASSWORD %L VALID UNTIL %L',
    CASE WHEN opens AND (until IS NOT NULL OR account = ANY (ARRAY[{{left_open}}]::text[]))
      THEN 'LOGIN' ELSE 'NOLOGIN' END, verifier,
    coalesce(to_char(until AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US"+00"'), 'infinity')));
  UPDATE {{schema}}.checked_out c SET
    generation = rotate.generation, until = rotate.until, secret_mark = {{schema}}.mark(verifier),
    password_changed = rotate.until IS NULL AND last.secret_mark IS NOT NULL AND
      (last.password_changed OR last.secret_mark IS DISTINCT FROM {{schema}}.mark(found_secret))
    WHERE c.account = rotate.account;
END
$callpoint$;

-- Nobody gets in any more; whoever is in is for terminate().
CREATE OR REPLACE FUNCTION {{schema}}.lock_account(account text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $callpoint$ SELECT {{schema}}.alter_listed(account, 'NOLOGIN') $callpoint$;

-- As lend() for a minted account: a login for half a minute, a member of the account, to roll back
-- what a holder left prepared. It could hold the account's row for ever, and with it the secret.
CREATE OR REPLACE FUNCTION {{schema}}.helper_of(account text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $callpoint$ SELECT '{{prefix}}lent' || left(md5(account), 10) $callpoint$;

CREATE OR REPLACE FUNCTION {{schema}}.take_back_listed(account text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $callpoint$
DECLARE
  helper text := {{schema}}.helper_of(account);
  lent oid := {{schema}}.listed(account);
BEGIN
  IF to_regrole(quote_ident(helper)) IS NULL THEN
    RETURN false;
  END IF;
  lent := {{schema}}.made(helper);
  PERFORM {{schema}}.disable(helper);
  PERFORM pg_stat_clear_snapshot();
  PERFORM pg_terminate_backend(s.pid, 1000) FROM pg_stat_activity s WHERE s.usesysid = lent;
  RETURN {{schema}}.drop_account(helper);
END
$callpoint$;

CREATE OR REPLACE FUNCTION {{schema}}.lend_listed(account text, verifier text)
RETURNS TABLE (login text, database text, gid text, owner text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $callpoint$
DECLARE
  helper text := {{schema}}.helper_of(account);
  until timestamptz := clock_timestamp() + interval '30 seconds';
BEGIN
  PERFORM {{schema}}.take_back_listed(account);
  IF NOT EXISTS (SELECT FROM {{schema}}.prepared_by(account)) THEN
    RETURN;
  END IF;
  IF (verifier ~ '^SCRAM-SHA-256\$[1-9][0-9]{3,5}:[A-Za-z0-9+/]{22}==\$[A-Za-z0-9+/]{43}=:[A-Za-z0-9+/]{43}=$')
     IS NOT TRUE THEN
    RAISE EXCEPTION 'not a SCRAM-SHA-256 verifier' USING ERRCODE = '22023';
  END IF;
  EXECUTE format(
    'CREATE ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS NOINHERIT '
    'CONNECTION LIMIT 1 PASSWORD %L VALID UNTIL %L IN ROLE %I', helper, verifier,
    to_char(until AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US"+00"'), account);
  EXECUTE format('COMMENT ON ROLE %I IS %L', helper, format('callpoint 1 {{installation}} %s %s',
    ceil(extract(epoch FROM until))::bigint, account));
  RETURN QUERY SELECT helper, p.database, p.gid, p.owner FROM {{schema}}.prepared_by(account) p;
END
$callpoint$;

CREATE OR REPLACE FUNCTION {{schema}}.checked_out_accounts()
RETURNS TABLE (account text, safe boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $callpoint$
  SELECT c.account::text,
         CASE WHEN to_regrole(quote_ident(c.account)) IS NULL THEN false
              ELSE NOT {{schema}}.has_power(c.account) END
  FROM {{schema}}.checked_out c
$callpoint$;

-- The reaper's part: whoever still is on an account after the end is put out, and it is locked.
CREATE OR REPLACE FUNCTION {{schema}}.reap_checked_out() RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '1s'
AS $callpoint$
DECLARE
  late record;
  failed integer := 0;
BEGIN
  FOR late IN
    SELECT c.account::text AS account, r.oid FROM {{schema}}.checked_out c
    JOIN pg_authid r ON r.rolname = c.account WHERE c.until <= clock_timestamp()
  LOOP
    BEGIN
      PERFORM {{schema}}.lock_account(late.account);
    EXCEPTION WHEN OTHERS THEN
      failed := failed + 1;
      RAISE WARNING 'callpoint: % cannot be locked: %', late.account, SQLERRM;
    END;
    PERFORM pg_stat_clear_snapshot();
    PERFORM pg_terminate_backend(s.pid, 1000) FROM pg_stat_activity s WHERE s.usesysid = late.oid;
  END LOOP;
  RETURN failed;
END
$callpoint$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA {{schema}} FROM PUBLIC;
GRANT EXECUTE ON FUNCTION {{schema}}.rotate(text, text, bigint, boolean, timestamptz) TO "{{broker}}";
GRANT EXECUTE ON FUNCTION {{schema}}.lock_account(text) TO "{{broker}}";
GRANT EXECUTE ON FUNCTION {{schema}}.checked_out_accounts() TO "{{broker}}";
GRANT EXECUTE ON FUNCTION {{schema}}.lend_listed(text, text) TO "{{broker}}";
GRANT EXECUTE ON FUNCTION {{schema}}.take_back_listed(text) TO "{{broker}}";
