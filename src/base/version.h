/* Versions that are told to clients. */
#pragma once

#define SILICA_VERSION "0.1.0"

/*
 * The envd protocol level that silica-envd speaks. SDKs switch features by it (semver and PEP 440
 * at once): 0.5.2 CloseStdin, 0.5.7 octet-stream uploads.
 */
#define SILICA_ENVD_VERSION "0.6.13"
