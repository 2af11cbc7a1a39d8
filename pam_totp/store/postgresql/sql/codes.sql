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

-- Authenticator.base_step(), current_step() and latest_step() of users.py.
CREATE FUNCTION totp.base_step(p_authenticator totp.authenticators, p_now bigint) RETURNS bigint IMMUTABLE PARALLEL SAFE
RETURN CASE (p_authenticator).kind WHEN 'hotp' THEN (p_authenticator).last_accepted_step + 1
    ELSE p_now / (p_authenticator).period + (p_authenticator).drift END;

CREATE FUNCTION totp.followed(p_authenticator totp.authenticators) RETURNS int IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN 5 * abs((p_authenticator).learned) >= 2 * (p_authenticator).period
    THEN (p_authenticator).learned ELSE 0 END;

CREATE FUNCTION totp.current_step(p_authenticator totp.authenticators, p_now bigint) RETURNS bigint IMMUTABLE PARALLEL SAFE
RETURN totp.base_step(p_authenticator, p_now + totp.followed(p_authenticator));

CREATE FUNCTION totp.latest_step(p_authenticator totp.authenticators, p_now bigint, p_window int) RETURNS bigint
IMMUTABLE PARALLEL SAFE
RETURN greatest(totp.base_step(p_authenticator, p_now), totp.current_step(p_authenticator, p_now)) + p_window;

-- Authenticator.accepted_offsets(), in order; of windows of 1 that have not moved away without a plan.
CREATE FUNCTION totp.accepted_offsets(
    p_authenticator totp.authenticators, p_now bigint, p_window int, p_look_ahead int)
RETURNS int[] LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    a totp.authenticators := p_authenticator;
    v_base int;
    v_into_step int;
    v_given_up int;
BEGIN
    IF a.kind = 'hotp' THEN
        RETURN ARRAY(SELECT generate_series(-1, p_look_ahead - 1));
    END IF;
    v_base := (totp.base_step(a, p_now) - totp.current_step(a, p_now))::int;
    IF abs(v_base) > p_window THEN
        v_into_step := (p_now + a.learned) % a.period;
        v_given_up := CASE WHEN 3 * v_into_step < CASE WHEN a.learned > 0 THEN 1 ELSE 2 END * a.period
            THEN p_window ELSE -p_window END;
        RETURN ARRAY(SELECT x FROM generate_series(-p_window, p_window) x WHERE x <> v_given_up UNION ALL SELECT v_base
            ORDER BY 1);
    ELSIF p_window = 1 THEN
        RETURN '{-1,0,1}';
    END IF;
    RETURN ARRAY(SELECT generate_series(-p_window, p_window));
END $$;

-- Authenticator.used() of users.py: what is learned once the code of p_step was accepted. A third of the
-- way, to the nearest second; floor() because a division cuts off.
CREATE FUNCTION totp.learned(p_authenticator totp.authenticators, p_step bigint, p_now bigint) RETURNS int
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    a totp.authenticators := p_authenticator;
    v_ahead bigint;
BEGIN
    IF a.kind = 'hotp' THEN
        RETURN 0;
    END IF;
    v_ahead := (p_step - a.drift) * a.period + a.period / 2 - p_now;
    RETURN greatest(-600, least(a.learned + floor((v_ahead - a.learned + 1) / 3.0), 600));
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
