-- ===== 7b: the broker makes roles itself. Weaker than the functions: read the documentation. =====
-- Run it once, as a superuser or as your provider's administrator. Running it again is safe.

DO $callpoint$
DECLARE
  wanted text;
  number integer := current_setting('server_version_num')::integer;
BEGIN
  FOREACH wanted IN ARRAY ARRAY[{{parents}}]::text[] LOOP
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = wanted) THEN
      RAISE EXCEPTION 'parent role % does not exist', wanted
        USING HINT = 'CREATE ROLE … NOLOGIN, grant it what a repair needs, run this again.';
    END IF;
  END LOOP;
  IF pg_catalog.to_regrole('{{custodian}}') IS NULL THEN
    CREATE ROLE {{custodian}} NOLOGIN;
  END IF;
  -- The powers sit in a role that nobody logs in as, so that a rotated or second broker login
  -- can still end what the first one made.
  IF pg_catalog.to_regrole('"{{powers}}"') IS NULL THEN
    CREATE ROLE "{{powers}}" NOLOGIN CREATEROLE;
  END IF;
  IF pg_catalog.to_regrole('"{{broker}}"') IS NULL THEN
    CREATE ROLE "{{broker}}" LOGIN NOINHERIT;
  END IF;
  GRANT "{{powers}}" TO "{{broker}}";
  ALTER ROLE "{{broker}}" SET role = "{{powers}}";
  IF number < 160000 THEN
    GRANT pg_signal_backend, {{custodian}} TO "{{powers}}";
  ELSE
    EXECUTE 'GRANT {{custodian}} TO "{{powers}}" WITH INHERIT TRUE, SET TRUE';
    FOREACH wanted IN ARRAY ARRAY[{{parents}}]::text[] LOOP
      EXECUTE format('GRANT %I TO "{{powers}}" WITH ADMIN TRUE, INHERIT FALSE, SET FALSE', wanted);
    END LOOP;
    EXECUTE $set$ ALTER ROLE "{{broker}}" SET createrole_self_grant = 'inherit' $set$;
  END IF;
END
$callpoint$;
