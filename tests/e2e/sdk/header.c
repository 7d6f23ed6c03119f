/* Compiled only: the public header as strict C99, with every macro in use. */
#include <silica/silica.h>

int silica_header_c99(silica_client *client);
int silica_header_c99(silica_client *client)
{
    silica_error err;
    silica_sandbox *sbx;
    silica_result res;
    silica_exec_opts opts;
    SILICA_OPTS_INIT(&opts);
    opts.cwd = "/tmp";
    if (silica_open(client, SILICA_OPEN_OPTS(.template_id = "base"), &sbx, &err) != SILICA_OK ||
        silica_attach(client, "i", SILICA_ATTACH_OPTS(.timeout_ms = 1), &sbx, &err) != SILICA_OK ||
        silica_list_sandboxes(client, SILICA_LIST_OPTS(.n_metadata = 0), NULL, NULL, &err) != 0 ||
        silica_client_new(SILICA_CLIENT_OPTS(.no_env = 1), &client, &err) != SILICA_OK ||
        silica_exec(sbx, "true", SILICA_EXEC_OPTS(.user = "root"), &res, &err) != SILICA_OK)
        return err.rc;
    return silica_remove(sbx, "x", SILICA_FILE_OPTS(.user = "root"), &err);
}
