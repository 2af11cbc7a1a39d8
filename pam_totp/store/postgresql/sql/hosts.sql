-- What every host function begins with, and what stands in for names without an authenticator.

-- Only what the procedures of hosts call gets further, for only a transaction that a procedure began is
-- later than its statement. In one of the caller's, a verdict could be read and the code, or the wrong
-- guess, taken back; and rows stayed locked for as long as the caller likes.
CREATE FUNCTION totp.refuse_in_transaction() RETURNS void LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF now() <= statement_timestamp() THEN
        RAISE EXCEPTION 'call a procedure for hosts, outside a transaction' USING ERRCODE = '42501';
    END IF;
END $$;

-- The data key, and which users may log in there. TP001: no such host, not joined, another key.
CREATE FUNCTION totp.data_key(p_host text, p_host_key bytea, OUT o_key bytea, OUT o_groups text[])
LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_wrapped bytea;
    v_bound bytea := totp.field('data key') || totp.field(p_host);
BEGIN
    PERFORM totp.refuse_in_transaction();
    SELECT h.wrapped_key, h.groups || '*'::text INTO v_wrapped, o_groups
    FROM totp.hosts h WHERE h.name = p_host AND h.joined_at IS NOT NULL;
    o_key := totp.unseal(v_wrapped, p_host_key, v_bound);
    IF o_key IS NULL THEN
        RAISE EXCEPTION 'this host has not joined' USING ERRCODE = 'TP001';
    END IF;
END $$;

-- Let the commit wait for the disk, and for the standby where the policy requires one (TP002). Of this
-- transaction: whoever asks may have set it otherwise.
CREATE FUNCTION totp.commit_durably(p_require_standby boolean) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    IF p_require_standby AND current_setting('synchronous_standby_names') = '' THEN
        RAISE EXCEPTION 'no synchronous standby is configured' USING ERRCODE = 'TP002';
    END IF;
    IF current_setting('synchronous_commit') NOT IN ('on', 'remote_apply') THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
END $$;

CREATE FUNCTION totp.decoy_key(p_data_key bytea) RETURNS bytea LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (SELECT totp.unseal(m.value, p_data_key, totp.field('decoy key')) FROM totp.meta m WHERE m.key = 'decoy_key');
END $$;

-- p_what: bucket, salt or secret. 32 bytes that nobody can tell from random ones.
CREATE FUNCTION totp.decoy(p_what text, p_user text, p_decoy_key bytea) RETURNS bytea STABLE PARALLEL SAFE
RETURN totp_crypto.hmac(totp.field(p_what) || totp.field(p_user), p_decoy_key, 'sha256');

CREATE FUNCTION totp.decoy_bucket(p_hash bytea) RETURNS int IMMUTABLE PARALLEL SAFE
RETURN (get_byte(p_hash, 0) << 8) | get_byte(p_hash, 1);

-- A record as hosts are told of it, without secrets and digests; null for an unknown user and for one
-- of other hosts. All of it is put together for everybody: how long that takes must not tell.
CREATE FUNCTION totp.told(p_user text, p_groups text[]) RETURNS jsonb LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT CASE WHEN built.is_known THEN built.record END FROM (
        SELECT u.name IS NOT NULL AS is_known, jsonb_build_object(
            'status', u.status, 'failures', u.failures, 'throttled_until', u.throttled_until,
            'recovery_salt', encode(u.recovery_salt, 'hex'), 'created_at', u.created_at,
            'updated_at', u.updated_at, 'exempt_until', u.exempt_until, 'untold', u.untold,
            'guesses_until', u.guesses_until, 'authenticators', coalesce(held.authenticators, '[]')
        ) AS record
        FROM (SELECT 1) AS always
        LEFT JOIN totp.users u ON u.name = p_user AND u.groups && p_groups
        LEFT JOIN LATERAL (
            SELECT jsonb_agg(jsonb_build_object(
                'label', a.label, 'algorithm', a.algorithm, 'digits', a.digits, 'period', a.period,
                'drift', a.drift, 'last_accepted_step', a.last_accepted_step,
                'created_at', a.created_at, 'last_used_at', a.last_used_at,
                'clock_offset', a.clock_offset, 'clock_sightings', a.clock_sightings,
                'kind', a.kind, 'learned', a.learned
            ) ORDER BY a.label) AS authenticators
            FROM totp.authenticators a WHERE a.user_name = u.name) AS held ON true
        OFFSET 0) AS built;
END;

-- Note what came of something. Who asks may send texts of any length.
CREATE FUNCTION totp.note(p_host text, p_user text, p_event text, p_service text, p_rhost text) RETURNS void
LANGUAGE sql VOLATILE
BEGIN ATOMIC
    INSERT INTO totp.events (host, user_name, event, service, rhost)
    VALUES (p_host, left(p_user, 255), p_event, coalesce(left(p_service, 255), ''), coalesce(left(p_rhost, 255), ''));
END;
