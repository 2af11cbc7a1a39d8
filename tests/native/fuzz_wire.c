/* Whatever bytes a worker sends: packet_parse() stays inside the packet, and what it lets through
 * is what docs/internals/protocol.md allows. For clang -fsanitize=fuzzer.
 *
 * An input longer than a packet is handed over as recv(MSG_TRUNC) does it: its beginning, and its
 * whole length.
 */

#include <security/pam_modules.h>
#include <stdlib.h>
#include <string.h>

#include "../../pam_totp/native/wire.h"

static void must(bool holds)
{
    if (!holds)
        abort();
}

static bool is_known(uint32_t code)
{
    return code == PAM_SUCCESS || code == PAM_SERVICE_ERR || code == PAM_AUTH_ERR ||
           code == PAM_AUTHINFO_UNAVAIL || code == PAM_MAXTRIES || code == PAM_CONV_ERR ||
           code == PAM_IGNORE;
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);
int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    struct packet *packet = malloc(sizeof *packet); /* so that a byte outside is noticed */
    size_t received = size < MAX_PACKET ? size : MAX_PACKET;
    struct order order;

    must(packet);
    memset(packet, 0xAA, sizeof *packet); /* as the last packet left it: no zero ends a text */
    if (size)
        memcpy(packet->bytes, data, received);
    packet->length = size;
    if (packet_parse(packet, &order)) {
        must(size >= HEADER && size < MAX_PACKET && memcmp(data, "PT", 2) == 0);
        must(order.type == data[3] && (data[2] == VERSION || order.type == REFUSED));
        switch (order.type) {
        case MESSAGE:
            must(order.style == data[HEADER] && order.style >= PAM_PROMPT_ECHO_OFF &&
                 order.style <= PAM_TEXT_INFO);
            must(strlen(order.text) == size - HEADER - 1);
            break;
        case ASK_BOTH:
            must(order.digits_count == data[HEADER] && order.digits_count <= 3);
            for (size_t i = 0; i < order.digits_count; i++)
                must(order.digits[i] >= 6 && order.digits[i] <= 8);
            must(strlen(order.text) == size - HEADER - 1 - order.digits_count);
            break;
        case REFUSED:
            must(strlen(order.text) == size - HEADER - 2);
            break;
        case RESULT:
            must(size == HEADER + 1 && order.number == data[HEADER] && is_known(order.number));
            break;
        default:
            abort();
        }
    }
    free(packet);
    return 0;
}
