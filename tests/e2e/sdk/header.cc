// Compiled only: the public header as strict C++11.
#include <silica/silica.h>

int silica_header_cxx11(silica_sandbox *sbx);
int silica_header_cxx11(silica_sandbox *sbx)
{
    silica_error err;
    silica_result res;
    silica_exec_opts opts;
    SILICA_OPTS_INIT(&opts);
    opts.cwd = "/tmp";
    silica_rc rc = silica_exec(sbx, "true", &opts, &res, &err);
    silica_result_free(&res);
    return rc == SILICA_OK ? 0 : 1;
}
