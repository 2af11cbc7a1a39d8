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

-- Authenticator.current_step() of users.py.
CREATE FUNCTION totp.current_step(p_authenticator totp.authenticators, p_now bigint) RETURNS bigint IMMUTABLE PARALLEL SAFE
RETURN CASE (p_authenticator).kind WHEN 'hotp' THEN (p_authenticator).last_accepted_step + 1
    ELSE p_now / (p_authenticator).period + (p_authenticator).drift END;

-- Authenticator.accepted_offsets(), first and last; of windows of 1 without a plan.
CREATE FUNCTION totp.accepted_offsets(p_kind text, p_window int, p_look_ahead int) RETURNS int[]
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    IF p_kind = 'hotp' THEN
        RETURN ARRAY(SELECT generate_series(-1, p_look_ahead - 1));
    ELSIF p_window = 1 THEN
        RETURN '{-1,0,1}';
    END IF;
    RETURN ARRAY(SELECT generate_series(-p_window, p_window));
END $$;

-- Authenticator.used() of users.py: drift and lean after an accepted code that was p_ahead steps early.
CREATE FUNCTION totp.learned(
    p_kind text, p_drift int, p_lean int, p_ahead bigint, OUT o_drift int, OUT o_lean int)
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    v_side int := sign(p_ahead)::int;
BEGIN
    o_drift := p_drift;
    o_lean := 0;
    IF v_side = 0 OR p_kind = 'hotp' THEN
        RETURN;
    END IF;
    o_lean := CASE WHEN p_lean * v_side > 0 THEN p_lean + v_side ELSE v_side END;
    IF abs(o_lean) >= 3 THEN
        o_lean := 0;
        IF abs(p_drift + v_side) <= greatest(20, abs(p_drift)) THEN
            o_drift := p_drift + v_side;
        END IF;
    END IF;
END $$;

-- clock_skew.clock_offsets(), in order.
CREATE FUNCTION totp.clock_offsets(p_period int) RETURNS int[] LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT array_agg(steps ORDER BY steps) FROM (
        SELECT generate_series(-20, 20) AS steps
        UNION ALL
        SELECT floor(half_hours * 1800 / p_period::numeric)::int + around
        FROM generate_series(-28, 28) AS half_hours, generate_series(-1, 1) AS around
        WHERE half_hours <> 0) AS each;
END;

-- clock_skew.offsets(): p_count of them, 209 where windows of time alone were looked at before.
CREATE FUNCTION totp.searched_offsets(p_kind text, p_period int, p_look_ahead int, p_count int) RETURNS int[]
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    IF p_kind = 'hotp' THEN
        RETURN ARRAY(SELECT generate_series(p_look_ahead, p_look_ahead + p_count - 1));
    ELSIF p_count = 209 THEN
        RETURN totp.clock_offsets(p_period);
    END IF;
    RETURN ARRAY(SELECT x FROM unnest(totp.clock_offsets(p_period)) x ORDER BY abs(x), x LIMIT greatest(p_count, 0))
        || ARRAY(SELECT generate_series(21, 20 + p_count - 209));
END $$;

-- Policy.throttle_after and so on, by failures in a row.
CREATE FUNCTION totp.throttle_wait(p_failures int, p_after int, p_base int, p_max int) RETURNS int
IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN p_failures < p_after THEN 0
    ELSE least(p_max, p_base::bigint << least(p_failures - p_after, 32))::int END;
