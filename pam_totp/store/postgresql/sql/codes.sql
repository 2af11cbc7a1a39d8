-- Codes and waits: what pam_totp/core/otp.py, clock_skew.py and verifier.py say of them.

-- The only clock. Tests replace it.
CREATE FUNCTION totp.unix_time() RETURNS bigint VOLATILE
RETURN floor(extract(epoch FROM clock_timestamp()))::bigint;

-- RFC 4226 section 5.3: 31 bits of the MAC, from the offset on that its last byte says.
CREATE FUNCTION totp.truncated(p_mac bytea, p_offset int) RETURNS int IMMUTABLE PARALLEL SAFE
RETURN ((get_byte(p_mac, p_offset) & 127) << 24) | (get_byte(p_mac, p_offset + 1) << 16)
    | (get_byte(p_mac, p_offset + 2) << 8) | get_byte(p_mac, p_offset + 3);

-- Which of the offsets from p_step have this code, in their order. All of them are computed. Steps
-- before the epoch have none.
CREATE FUNCTION totp.matching_offsets(
    p_code text, p_secret bytea, p_step bigint, p_offsets int[], p_algorithm text, p_digits int)
RETURNS int[] LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    v_found int[] := '{}';
    v_code int := CASE WHEN p_code ~ '^[0-9]{6,8}$' AND length(p_code) = p_digits THEN p_code::int ELSE -1 END;
    v_modulus int := 10 ^ p_digits;
    v_offset int;
    v_mac bytea;
    v_at int;
BEGIN
    FOREACH v_offset IN ARRAY p_offsets LOOP
        v_mac := totp_crypto.hmac(int8send(p_step + v_offset), p_secret, p_algorithm);
        v_at := get_byte(v_mac, octet_length(v_mac) - 1) & 15;
        IF totp.truncated(v_mac, v_at) % v_modulus = v_code AND p_step + v_offset >= 0 THEN
            v_found := v_found || v_offset;
        END IF;
    END LOOP;
    RETURN v_found;
END $$;

-- The offsets, in steps, that a clock is most often wrong by: clock_skew.offsets(), in order.
CREATE FUNCTION totp.clock_offsets(p_period int) RETURNS int[] LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT array_agg(steps ORDER BY steps) FROM (
        SELECT generate_series(-20, 20) AS steps
        UNION ALL
        SELECT floor(half_hours * 1800 / p_period::numeric)::int + around
        FROM generate_series(-28, 28) AS half_hours, generate_series(-1, 1) AS around
        WHERE half_hours <> 0) AS each;
END;

-- Policy.throttle_after and so on, by failures in a row.
CREATE FUNCTION totp.throttle_wait(p_failures int, p_after int, p_base int, p_max int) RETURNS int
IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN p_failures < p_after THEN 0
    ELSE least(p_max, p_base::bigint << least(p_failures - p_after, 32))::int END;
