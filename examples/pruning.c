/* A trainer in C that reports each epoch and stops when the server says so. It needs only sockets.
 *
 *     cc -o pruning examples/pruning.c -lm
 *     ./pruning [HOST] [PORT] [STUDY] [TRIALS]
 */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EPOCHS = 10 };

static const char *host = "127.0.0.1";
static const char *port = "8000";
static const char *study = "pruning-in-c";
static char reply[65536];

static void fail(const char *what, const char *why) {
    fprintf(stderr, "%s: %s\n", what, why);
    exit(EXIT_FAILURE);
}

static int connected(void) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found, *at;
    int error = getaddrinfo(host, port, &hints, &found), sock = -1;
    if (error)
        fail(host, gai_strerror(error));
    for (at = found; at; at = at->ai_next) {
        sock = socket(at->ai_family, at->ai_socktype, at->ai_protocol);
        if (sock >= 0 && connect(sock, at->ai_addr, at->ai_addrlen) == 0)
            break;
        if (sock >= 0)
            close(sock);
        sock = -1;
    }
    freeaddrinfo(found);
    if (sock < 0)
        fail(host, "the server is not reached");
    return sock;
}

/* Send one request below the study's URL. Return the reply's body; a refusal ends the program. */
static const char *send_request(const char *method, const char *path, const char *body) {
    char request[4096];
    int size = snprintf(request, sizeof request,
                        "%s /optunapi/v1/studies/%s%s HTTP/1.1\r\nHost: %s:%s\r\nConnection: close\r\n"
                        "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                        method, study, path, host, port, strlen(body), body);
    if (size < 0 || (size_t)size >= sizeof request)
        fail(study, "the request is too long");

    int sock = connected();
    for (int sent = 0; sent < size;) {
        ssize_t n = write(sock, request + sent, (size_t)(size - sent));
        if (n <= 0)
            fail(host, "the connection is lost");
        sent += (int)n;
    }
    size_t got = 0;
    for (ssize_t n; got < sizeof reply - 1; got += (size_t)n)
        if ((n = read(sock, reply + got, sizeof reply - 1 - got)) <= 0)
            break;
    reply[got] = '\0';
    close(sock);

    const char *text = strstr(reply, "\r\n\r\n");
    if (!text || strncmp(reply, "HTTP/1.1 2", 10) != 0)
        fail("refused", reply);
    return text + 4;
}

/* Return the number at a key of a JSON text. */
static double number(const char *json, const char *key) {
    char quoted[64];
    snprintf(quoted, sizeof quoted, "\"%s\":", key);
    const char *at = strstr(json, quoted);
    if (!at)
        fail(key, "is missing in the reply");
    return strtod(at + strlen(quoted), NULL);
}

int main(int argc, char **argv) {
    if (argc > 1)
        host = argv[1];
    if (argc > 2)
        port = argv[2];
    if (argc > 3)
        study = argv[3];
    int trials = argc > 4 ? atoi(argv[4]) : 20;

    send_request("PUT", "",
                 "{\"parameters\": {\"lr\": {\"type\": \"float\", \"low\": 0.001, \"high\": 1, \"log\": true}},"
                 " \"pruner\": {\"name\": \"median\", \"n_startup_trials\": 3}}");

    for (int i = 0; i < trials; i++) {
        const char *trial = send_request("POST", "/trials", "{}");
        int id = (int)number(trial, "number");
        double lr = number(trial, "lr"), loss = 0;

        char path[64], body[128];
        int epoch = 0;
        bool pruned = false;
        while (epoch < EPOCHS && !pruned) {
            epoch++;
            loss = pow(1 - lr, epoch) + 4 * lr * lr;
            snprintf(path, sizeof path, "/trials/%d/report", id);
            snprintf(body, sizeof body, "{\"step\": %d, \"value\": %.17g}", epoch, loss);
            pruned = strstr(send_request("POST", path, body), "\"should_prune\":true") != NULL;
        }

        const char *state = pruned ? "pruned" : "complete";
        snprintf(path, sizeof path, "/trials/%d/tell", id);
        snprintf(body, sizeof body, "{\"state\": \"%s\", \"value\": %.17g}", state, loss);
        send_request("POST", path, body);
        printf("trial %d: %s at epoch %d, loss %g\n", id, state, epoch, loss);
    }
    return EXIT_SUCCESS;
}
