-- ===== Looking, and the reaper (database {{database}} only) ================================

-- Roles, memberships, passwords (as marks) and what else the whole cluster shares.
CREATE OR REPLACE FUNCTION {{schema}}.cluster_snapshot(account text)
RETURNS TABLE (kind text, name text, concerns boolean)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET plan_cache_mode = force_generic_plan SET search_path = pg_catalog, pg_temp
AS $callpoint$
DECLARE
  who oid := {{schema}}.known(account);
  parents text[] := ARRAY(SELECT p.parent::text FROM {{schema}}.parent p);
BEGIN
  RETURN QUERY
{{cluster_snapshot}};
  RETURN QUERY
  SELECT 'password', format('%s %s', r.rolname,
                            left(encode({{schema}}.mark(r.rolpassword), 'hex'), 16)), false
    FROM pg_authid r
    WHERE r.rolpassword IS NOT NULL
      -- Those of checked-out accounts change with every use; below is what an actor did to one.
      AND r.rolname <> ALL (ARRAY[{{checked_out}}]::text[])
      AND (r.oid NOT IN (SELECT d.objoid FROM pg_shdescription d
                         WHERE d.classoid = 'pg_authid'::regclass
                           AND d.description ~ '^callpoint 1 {{installation}} ')
           OR NOT starts_with(r.rolname::text, '{{prefix}}'))
  UNION ALL
  SELECT 'changed password', format('%s', r.rolname), true
    FROM pg_authid r JOIN {{schema}}.account a ON a.oid = r.oid
    WHERE r.oid = who AND (a.password_changed OR a.secret_mark <> {{schema}}.mark(r.rolpassword))
  UNION ALL
  SELECT 'changed password', c.account::text, true
    FROM {{schema}}.checked_out c WHERE c.account = $1 AND c.password_changed;
END
$callpoint$;

-- What the account left prepared. Whoever prepared it under another role (the parent, as a rule) is
-- not told by the server; it is the account's where it holds the account's own role, or changes
-- roles at all, or holds what the account owns: then nothing of the account could be disabled, moved
-- to the custodian or dropped.
CREATE OR REPLACE FUNCTION {{schema}}.prepared_by(account text)
RETURNS TABLE (database text, gid text, owner text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $callpoint$
DECLARE
  who oid := {{schema}}.known(account);
BEGIN
  RETURN QUERY
  SELECT x.database::text, x.gid, x.owner::text FROM pg_prepared_xacts x
  WHERE who IS NOT NULL AND pg_has_role(who, x.owner, 'MEMBER')
    AND (x.owner = account OR EXISTS (
      -- No process holds its locks any more; the one on its own number says which are its.
      SELECT FROM pg_locks own JOIN pg_locks l USING (virtualtransaction)
      WHERE own.locktype = 'transactionid' AND own.transactionid = x.transaction
        AND own.mode = 'ExclusiveLock' AND l.pid IS NULL
        AND ((l.locktype = 'object' AND l.classid = 'pg_authid'::regclass AND l.objid = who)
             OR (l.relation = 'pg_authid'::regclass AND l.mode = 'RowExclusiveLock')
             OR EXISTS (
               SELECT FROM pg_shdepend d
               WHERE d.refclassid = 'pg_authid'::regclass AND d.refobjid = who AND d.deptype = 'o'
                 AND d.dbid = l.database AND d.objid = coalesce(l.relation, l.objid)
                 AND d.classid = coalesce(l.classid, 'pg_class'::regclass)))));
END
$callpoint$;

-- Lends the connector a login for half a minute, with a secret only it knows, to roll back what the
-- account left prepared: nobody else but a superuser could, a function cannot, and a prepared
-- transaction can hold the account for ever. The account itself stays as it is: its row may be what
-- is held. The login is a member of account and parent, so it opens nothing that was not open.
DROP FUNCTION IF EXISTS {{schema}}.lend(text, text);
CREATE OR REPLACE FUNCTION {{schema}}.lend(account text, verifier text)
RETURNS TABLE (login text, database text, gid text, owner text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $callpoint$
DECLARE
  helper text := account || 'x';
  parent text := split_part(shobj_description({{schema}}.made(account), 'pg_authid'), ' ', 5);
  until timestamptz := clock_timestamp() + interval '30 seconds';
BEGIN
  IF NOT EXISTS (SELECT FROM {{schema}}.prepared_by(account)) THEN
    RETURN;
  END IF;
  IF (verifier ~ '^SCRAM-SHA-256\$[1-9][0-9]{3,5}:[A-Za-z0-9+/]{22}==\$[A-Za-z0-9+/]{43}=:[A-Za-z0-9+/]{43}=$')
     IS NOT TRUE THEN
    RAISE EXCEPTION 'not a SCRAM-SHA-256 verifier' USING ERRCODE = '22023';
  END IF;
  IF {{schema}}.parent_is_safe(parent) IS NOT TRUE THEN
    RAISE EXCEPTION 'parent role % can log in or has powers over the server', parent
      USING ERRCODE = '42501';
  END IF;
  PERFORM {{schema}}.take_back(account);
  EXECUTE format(
    'CREATE ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS NOINHERIT '
    'CONNECTION LIMIT 1 PASSWORD %L VALID UNTIL %L IN ROLE %I, %I', helper, verifier,
    to_char(until AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US"+00"'), parent, account);
  EXECUTE format('COMMENT ON ROLE %I IS %L', helper, format('callpoint 1 {{installation}} %s %s',
    ceil(extract(epoch FROM until))::bigint, parent));
  RETURN QUERY SELECT helper, p.database, p.gid, p.owner FROM {{schema}}.prepared_by(account) p;
END
$callpoint$;

-- Ends what was lent; nothing when nothing was.
CREATE OR REPLACE FUNCTION {{schema}}.take_back(account text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $callpoint$
DECLARE
  helper text := account || 'x';
  lent oid;
BEGIN
  PERFORM {{schema}}.made(account);
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

CREATE OR REPLACE FUNCTION {{schema}}.access_rules()
RETURNS TABLE (line integer, type text, databases text[], users text[], address text, method text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $callpoint$
  SELECT h.line_number, h.type, h.database, h.user_name, concat_ws(' ', h.address, h.netmask),
         coalesce(h.auth_method, 'error: ' || h.error)
  FROM pg_hba_file_rules h ORDER BY h.line_number
$callpoint$;

CREATE OR REPLACE FUNCTION {{schema}}.parents()
RETURNS TABLE (parent text, safe boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $callpoint$
  SELECT p.parent::text,
         CASE WHEN to_regrole(quote_ident(p.parent)) IS NULL THEN false
              ELSE {{schema}}.parent_is_safe(p.parent) END
  FROM {{schema}}.parent p
$callpoint$;

-- The owner's own end to every session, for the day that Callpoint is dead: ends what is past its
-- time, whoever forgot it. The broker may not run it, so that its heartbeat proves the timer.
-- It waits long for no lock: one account that holds one must not spare all the others.
CREATE OR REPLACE FUNCTION {{schema}}.reap() RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '1s'
AS $callpoint$
DECLARE
  late record;
  ended integer := 0;
  failed integer := {{schema}}.reap_checked_out();
BEGIN
  FOR late IN
    SELECT r.rolname::text AS account, s.pid FROM pg_authid r
    LEFT JOIN pg_stat_activity s ON s.usesysid = r.oid
    WHERE r.rolname ~ '^{{prefix}}[a-z0-9]{1,18}$'
      AND shobj_description(r.oid, 'pg_authid') ~ '^callpoint 1 {{installation}} [0-9]+ '
      AND to_timestamp(split_part(shobj_description(r.oid, 'pg_authid'), ' ', 4)::bigint)
          <= clock_timestamp()
    ORDER BY s.pid NULLS LAST
  LOOP
    -- Sessions first: whatever else goes wrong with this account, they end.
    IF late.pid IS NOT NULL THEN
      PERFORM pg_terminate_backend(late.pid, 1000);
    END IF;
    BEGIN
      PERFORM {{schema}}.disable(late.account);
    EXCEPTION WHEN OTHERS THEN
      failed := failed + 1;
      RAISE WARNING 'callpoint: % cannot be disabled: %', late.account, SQLERRM;
    END;
  END LOOP;
  PERFORM pg_stat_clear_snapshot();
  FOR late IN
    SELECT r.rolname::text AS account FROM pg_authid r
    WHERE r.rolname ~ '^{{prefix}}[a-z0-9]{1,18}$' AND NOT r.rolcanlogin
      AND shobj_description(r.oid, 'pg_authid') ~ '^callpoint 1 {{installation}} [0-9]+ '
      AND to_timestamp(split_part(shobj_description(r.oid, 'pg_authid'), ' ', 4)::bigint)
          <= clock_timestamp()
  LOOP
    BEGIN
      PERFORM {{schema}}.sweep(late.account);
      PERFORM {{schema}}.drop_account(late.account);
      ended := ended + 1;
    EXCEPTION WHEN OTHERS THEN
      -- It can do nothing any more; what it owns in other databases waits for the connector.
      failed := failed + 1;
      RAISE WARNING 'callpoint: % is disabled, but not dropped: %', late.account, SQLERRM;
    END;
  END LOOP;
  DELETE FROM {{schema}}.reaper_run r WHERE r.at < clock_timestamp() - interval '1 day';
  INSERT INTO {{schema}}.reaper_run (ended, failed) VALUES (ended, failed);
  RETURN ended;
END
$callpoint$;

-- How often it really ran: the longest silence within the last hour, up to now.
CREATE OR REPLACE FUNCTION {{schema}}.reaper_facts()
RETURNS TABLE (runs integer, longest_silence interval, failed integer)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $callpoint$
  SELECT count(*)::integer,
         greatest(max(g.at - g.before), clock_timestamp() - max(g.at)),
         coalesce(sum(g.failed), 0)::integer
  FROM (SELECT r.at, r.failed, lag(r.at) OVER (ORDER BY r.at) AS before
        FROM {{schema}}.reaper_run r WHERE r.at > clock_timestamp() - interval '1 hour') g
$callpoint$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA {{schema}} FROM PUBLIC;
GRANT EXECUTE ON FUNCTION {{schema}}.cluster_snapshot(text) TO "{{broker}}";
GRANT EXECUTE ON FUNCTION {{schema}}.lend(text, text) TO "{{broker}}";
GRANT EXECUTE ON FUNCTION {{schema}}.take_back(text) TO "{{broker}}";
GRANT EXECUTE ON FUNCTION {{schema}}.access_rules() TO "{{broker}}";
GRANT EXECUTE ON FUNCTION {{schema}}.parents() TO "{{broker}}";
GRANT EXECUTE ON FUNCTION {{schema}}.reaper_facts() TO "{{broker}}";

-- Without pg_cron: run `SELECT {{schema}}.reap()` every minute from cron or a systemd timer.
DO $callpoint$
BEGIN
  IF pg_catalog.to_regproc('cron.schedule') IS NOT NULL THEN
    EXECUTE $cron$ SELECT cron.schedule('{{schema}}-{{installation}}-reap', '* * * * *',
                                        'SELECT {{schema}}.reap()') $cron$;
  END IF;
END
$callpoint$;
