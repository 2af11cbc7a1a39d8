-- The roles, which are the cluster's and not a database's. Roles that exist stay as they are.
--
--   totp_owner     owns every table and function; nobody logs in as it
--   totp_admin     administrators: people, rules, hosts and policy
--   totp_helpdesk  may unlock, suspend and resume, and nothing else
--   totp_auditor   may read the events
--   totp_host      may call the host functions, and touches no table
--   totp_login     what every host logs in as; the host key, an argument of each call, says which
DO $$
DECLARE
    v_name text;
BEGIN
    FOREACH v_name IN ARRAY ARRAY['totp_owner', 'totp_admin', 'totp_helpdesk', 'totp_auditor', 'totp_host'] LOOP
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = v_name) THEN
            EXECUTE pg_catalog.format('CREATE ROLE %I NOLOGIN', v_name);
        END IF;
    END LOOP;
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'totp_login') THEN
        CREATE ROLE totp_login LOGIN IN ROLE totp_host;
    END IF;
END $$;
