/* A trainer of OptunAPI 0.1 in C, over a socket: `with_sockets HOST PORT ASK_PATH SCORE_PATH ID_NAME`. */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static char reply[65536];

static void fail(const char *what, const char *why) {
    fprintf(stderr, "%s: %s\n", what, why);
    exit(EXIT_FAILURE);
}

/* GET a path; keep the reply, up to the connection's end, and return its status. */
static int get(const char *host, const char *port, const char *path) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    if (getaddrinfo(host, port, &hints, &found))
        fail(host, "the address is not found");
    int sock = socket(found->ai_family, found->ai_socktype, found->ai_protocol);
    if (sock < 0 || connect(sock, found->ai_addr, found->ai_addrlen))
        fail(host, "the server is not reached");
    freeaddrinfo(found);

    char request[1024];
    int size = snprintf(request, sizeof request, "GET %s HTTP/1.0\r\n\r\n", path);
    if (size < 0 || (size_t)size >= sizeof request || write(sock, request, (size_t)size) != size)
        fail(path, "the request is not sent");
    size_t got = 0;
    for (ssize_t n; (n = read(sock, reply + got, sizeof reply - 1 - got)) > 0;)
        got += (size_t)n;
    reply[got] = '\0';
    close(sock);

    int status = 0;
    if (sscanf(reply, "HTTP/%*s %d", &status) != 1)
        fail("this is no reply", reply);
    return status;
}

/* Return the number at a key of the reply. */
static double number(const char *key) {
    char quoted[64];
    snprintf(quoted, sizeof quoted, "\"%s\":", key);
    const char *at = strstr(reply, quoted);
    if (!at)
        fail(key, reply);
    return strtod(at + strlen(quoted), NULL);
}

int main(int argc, char **argv) {
    if (argc != 6)
        fail(argv[0], "give HOST PORT ASK_PATH SCORE_PATH ID_NAME");
    for (;;) {
        int status = get(argv[1], argv[2], argv[3]);
        if (status == 409 && strstr(reply, "\"code\":\"study-finished\"")) {
            puts("study-finished");
            return EXIT_SUCCESS;
        }
        if (status != 200)
            fail("refused", reply);
        int id = (int)number("trial_id"), n = (int)number("n");
        double lr = number("lr"), x = number("x");
        double score = n == 0 ? lr : lr * n + sqrt(x);

        char path[512];
        snprintf(path, sizeof path, "%s?%s=%d&score=%.17g", argv[4], argv[5], id, score);
        if (get(argv[1], argv[2], path) != 200)
            fail("refused", reply);
    }
}
