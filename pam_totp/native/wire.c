#include "wire.h"

#include <security/pam_modules.h>
#include <string.h>

void packet_begin(struct packet *packet, enum packet_type type)
{
    const unsigned char header[HEADER] = {'P', 'T', VERSION, (unsigned char)type};

    memcpy(packet->bytes, header, sizeof header);
    packet->length = HEADER;
}

bool packet_add(struct packet *packet, const void *bytes, size_t length)
{
    if (length > MAX_PACKET - packet->length)
        return false;
    if (length)
        memcpy(packet->bytes + packet->length, bytes, length);
    packet->length += length;
    return true;
}

bool packet_add_number(struct packet *packet, uint32_t number, int bytes)
{
    unsigned char big_endian[4];

    for (int i = 0; i < bytes; i++)
        big_endian[i] = (unsigned char)(number >> 8 * (bytes - 1 - i));
    return packet_add(packet, big_endian, (size_t)bytes);
}

bool packet_add_string(struct packet *packet, const char *text_or_null)
{
    size_t length = text_or_null ? strlen(text_or_null) : 0;

    if (!text_or_null)
        return packet_add_number(packet, ABSENT, 2);
    return length < ABSENT && packet_add_number(packet, (uint32_t)length, 2) &&
           packet_add(packet, text_or_null, length);
}

static bool is_code(uint32_t code)
{
    switch (code) {
    case PAM_SUCCESS:
    case PAM_SERVICE_ERR:
    case PAM_AUTH_ERR:
    case PAM_AUTHINFO_UNAVAIL:
    case PAM_MAXTRIES:
    case PAM_CONV_ERR:
    case PAM_IGNORE:
        return true;
    default:
        return false;
    }
}

bool packet_parse(struct packet *packet, struct order *order)
{
    unsigned char *body = packet->bytes + HEADER;
    size_t left = packet->length - HEADER;

    memset(order, 0, sizeof *order);
    if (packet->length < HEADER || packet->length >= MAX_PACKET || packet->bytes[0] != 'P' ||
        packet->bytes[1] != 'T')
        return false;
    order->type = packet->bytes[3];
    if (order->type == REFUSED) { /* of any version: it begins with those that the worker speaks */
        if (left < 2)
            return false;
        body += 2, left -= 2;
    } else if (packet->bytes[2] != VERSION) {
        return false;
    }
    switch (order->type) {
    case MESSAGE:
        if (left < 1 || body[0] < PAM_PROMPT_ECHO_OFF || body[0] > PAM_TEXT_INFO)
            return false;
        order->style = body[0];
        body++, left--;
        break;
    case REFUSED:
        break;
    case ASK_BOTH:
        if (left < 1 || left - 1 < body[0] || body[0] > MOST_DIGITS - FEWEST_DIGITS + 1)
            return false;
        order->digits_count = body[0];
        order->digits = body + 1;
        for (size_t i = 0; i < order->digits_count; i++)
            if (order->digits[i] < FEWEST_DIGITS || order->digits[i] > MOST_DIGITS)
                return false;
        body += 1 + order->digits_count, left -= 1 + order->digits_count;
        break;
    case RESULT:
        order->number = left == 1 ? body[0] : UINT32_MAX;
        return is_code(order->number);
    default:
        return false;
    }
    if (memchr(body, 0, left))
        return false;
    body[left] = '\0'; /* there is room: length < MAX_PACKET */
    order->text = (const char *)body;
    return true;
}
