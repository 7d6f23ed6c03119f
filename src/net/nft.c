#include "net/nft.h"

#include "base/cleanup.h"

#include <errno.h>
#include <linux/netlink.h>
#include <nftables/libnftables.h>
#include <string.h>
#include <sys/socket.h>

static void nft_freep(struct nft_ctx **ctx)
{
    if (*ctx != NULL)
        nft_ctx_free(*ctx);
}

static int refused(struct nft_ctx *ctx, struct err *err)
{
    const char *why = nft_ctx_get_error_buffer(ctx);
    int line = why != NULL ? (int)strcspn(why, "\n") : 0;
    return err_set(err, -EIO, ERR_INTERNAL, "firewall rules refused: %.*s", line,
                   why != NULL ? why : "");
}

/* libnftables ends the whole program when it can open no socket of its own: tried before. */
static int try_socket(struct err *err)
{
    _cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
    return fd < 0 ? err_sys(err, -errno, "open a firewall socket") : 0;
}

int nft_run(const struct buf *text, struct err *err)
{
    if (text->error != 0)
        return err_sys(err, text->error, "make firewall rules");
    int r = try_socket(err);
    if (r < 0)
        return r;
    _cleanup_(nft_freep)
    struct nft_ctx *ctx = nft_ctx_new(NFT_CTX_DEFAULT);
    if (ctx == NULL || nft_ctx_buffer_error(ctx) != 0 || nft_ctx_buffer_output(ctx) != 0)
        return err_set(err, -ENOMEM, ERR_INTERNAL, "open the firewall");
    return nft_run_cmd_from_buffer(ctx, buf_str(text)) != 0 ? refused(ctx, err) : 0;
}
