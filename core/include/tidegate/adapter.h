// SPDX-License-Identifier: Apache-2.0
/// Adapters and their connections: bytes in, messages and bytes out.
/// Everything here runs on the worker that owns the connection.
#ifndef TIDEGATE_ADAPTER_H
#define TIDEGATE_ADAPTER_H

#include "message.h"

typedef enum tg_transport {
    TG_TCP = 1 << 0,
    TG_TLS = 1 << 1,
    TG_UDP = 1 << 2, ///< each peer address is a connection; a frame is in one datagram
    TG_DTLS = 1 << 3,
    TG_WS = 1 << 4,
} tg_transport;

/// How a byte stream falls into frames. Declared, and run by the host in C.
typedef enum tg_frame_kind {
    TG_FRAME_RAW, ///< on_data gets the bytes as they come
    TG_FRAME_LENGTH, ///< a size field says how long the frame is
    TG_FRAME_ESCAPED, ///< between flag bytes, with an escape byte inside
    TG_FRAME_DELIMITER, ///< ends with given bytes
    TG_FRAME_LINE, ///< ends with LF, a CR before it belongs to the end
    TG_FRAME_FIXED, ///< always the same size
} tg_frame_kind;

typedef enum tg_check {
    TG_CHECK_NONE,
    TG_CHECK_XOR8,
    TG_CHECK_SUM8,
    TG_CHECK_CRC16_MODBUS,
    TG_CHECK_CRC16_CCITT, ///< CRC-16/CCITT-FALSE: 0x1021, start 0xFFFF, not reflected
    TG_CHECK_CRC16_X25,
    TG_CHECK_CRC32, ///< CRC-32/ISO-HDLC
} tg_check;

#define TG_FRAME_ESCAPES 4

/// One frame form. An adapter may declare several; the first whose `magic` fits is used, and
/// with none that fits the stream is searched for the next magic (counted as junk).
typedef struct tg_frame {
    uint32_t size;
    uint8_t kind; ///< tg_frame_kind
    uint8_t check; ///< tg_check
    uint8_t check_be; ///< the stored checksum has its high byte first
    uint8_t size_width; ///< LENGTH: 1, 2, 3, 4, or 0 for a base-128 number as MQTT has it
    uint8_t size_be; ///< LENGTH: high byte first
    uint8_t escape; ///< ESCAPED: the escape byte
    uint8_t nescapes; ///< ESCAPED: pairs in use
    /// LENGTH with check and trailer: where the size leads nowhere, the nearest trailer behind
    /// bytes whose checksum fits ends the frame. ESCAPED: an escape byte without a meaning
    /// stands for itself, and a body whose checksum fits only as it was sent is taken so.
    uint8_t lenient;
    /// ESCAPED: {byte after the escape, what it means}.
    uint8_t escapes[TG_FRAME_ESCAPES][2];
    tg_slice magic; ///< first bytes of a frame; ESCAPED: the flag
    tg_slice trailer; ///< last bytes: must follow a LENGTH frame, end a DELIMITER frame
    uint32_t size_at; ///< LENGTH: offset of the size field from the frame's first byte
    int32_t size_adjust; ///< LENGTH: whole frame = size_at + width + value + adjust
    uint32_t check_from; ///< first byte under the checksum, from the frame's first byte
    uint32_t check_tail; ///< bytes between the stored checksum and the frame's end
    uint32_t min; ///< whole frame, bytes; a smaller one is junk
    uint32_t max; ///< whole frame, bytes; a larger one is junk (FIXED: its size)
    uint32_t stall_ms; ///< a started frame that does not grow is given up; 0: 10,000
    uint32_t guard_at; ///< offset of the guarded byte from the frame's first byte
    tg_slice guard; ///< what that byte may be; another one, and the magic was no start
    /// LENGTH: offset of a byte in front of the size field that moves it back by its value, as
    /// the length of a name does; 0: none.
    uint32_t counted_at;
} tg_frame;

/// One line of `tidegate decode`.
typedef struct tg_field_note {
    uint32_t size;
    uint32_t depth; ///< nesting, 0 outermost
    uint32_t offset; ///< bytes from the frame's first byte
    uint32_t length; ///< bytes
    tg_slice name;
    tg_slice raw; ///< as on the wire
    tg_slice value; ///< readable
} tg_field_note;

/// A command for a device, from the API or the command line.
typedef struct tg_command {
    uint32_t size;
    uint32_t timeout_ms; ///< how long somebody waits for the answer
    tg_slice name; ///< one of the adapter's `commands`
    tg_slice device; ///< id of the session it is for
    tg_slice id; ///< the caller's own, for what is published about it; empty none
    const tg_value *args; ///< a map
} tg_command;

typedef struct tg_adapter tg_adapter;
struct tg_adapter {
    uint32_t size;
    uint32_t transports; ///< TG_TCP | …: what a listener may offer it on
    const char *id; ///< as listeners name it
    uint32_t state_size; ///< bytes that each connection carries for the adapter, zeroed
    uint32_t nframes; ///< 0: raw, on_data is called
    const tg_frame *frames;

    /// The connection is up (TLS included). Also for those opened with dial().
    /// @param options the listener's or the dialer's own options; NULL none.
    /// @return 0, or TG_E_* to close it.
    int (*on_open)(const tg_adapter *self, tg_conn c, void *state, const tg_value *options);

    /// Raw bytes. @return how many were used (the host keeps the rest and calls again when
    /// more came), or TG_E_* to close. Over UDP: one datagram; what is left of it is dropped
    /// and counted, unless the connection was paused.
    int64_t (*on_data)(tg_conn c, void *state, tg_slice data);

    /// One whole frame with a right checksum, unescaped. @return 0, or TG_E_* to close.
    int (*on_frame)(tg_conn c, void *state, tg_slice frame);

    /// A message for session `s`, in the session's order.
    /// @return 0; TG_E_FULL when the connection takes no more: the session keeps it and goes
    /// on when the connection has drained; any other error drops it, counted.
    int (*on_deliver)(tg_conn c, void *state, tg_session s, const tg_delivery *d);

    /// Session `s` left this connection: TG_E_TAKENOVER, TG_E_KICKED, TG_E_SHUTDOWN …
    /// The connection is still open: say good-bye in the protocol's words, close it if the
    /// protocol has one session a connection. Not called for the adapter's own close().
    void (*on_session_end)(tg_conn c, void *state, tg_session s, int reason);

    /// Nothing of use came for the time given to set_idle(). Also called once per period.
    void (*on_idle)(tg_conn c, void *state);

    /// The write queue fell below its low mark after a send answered TG_E_FULL.
    void (*on_writable)(tg_conn c, void *state);

    /// Last call for this connection. @param reason 0 or TG_E_*.
    void (*on_close)(tg_conn c, void *state, int reason);

    /// Explains `bytes` field by field for people; optional, called on any thread without a
    /// connection. Calls `emit` for each field in the order of its offset.
    int (*annotate)(const tg_adapter *self, tg_slice bytes,
                    void (*emit)(void *ctx, const tg_field_note *note), void *ctx);

    /// Names of the commands that devices take, NULL-ended, until the adapter is destroyed;
    /// NULL: none. Sessions of an adapter that has some are listed as devices, with the
    /// attribute `adapter`; where they have an attribute `down`, a topic, commands for a
    /// device that is away are published there, as {"command", "args", "id"} in JSON.
    const char *const *commands;

    /// Starts a command for session `s`; what `cmd` points to is borrowed. It ends with
    /// complete(op, 0, answer), or complete(op, TG_E_*, {message = …}), at once or later: a map
    /// with a `state` of queued, sent, acked, refused or expired says so, TG_E_TIMEOUT is
    /// expired, other errors are refused.
    /// @return TG_E_NOTFOUND: no such command; TG_E_* when it could not start. Then it must
    /// not complete.
    int (*on_command)(tg_conn c, void *state, tg_session s, const tg_command *cmd,
                      tg_op op);

    /// A whole frame whose checksum is wrong, unescaped; optional. Any of its bytes may be
    /// wrong, its size as well: the stream is searched on behind its first byte then. It has
    /// been counted and logged already.
    void (*on_damaged)(tg_conn c, void *state, tg_slice frame);

    /// The host ends, and will close the connection: what is sent now still leaves. For links
    /// without sessions, whose good-bye on_session_end would say otherwise.
    void (*on_shutdown)(tg_conn c, void *state);

    /// What becomes of a message on the attribute `$down` of a device that is away; optional.
    /// Called on the worker that has its session; `device` and `m` are borrowed. It may publish,
    /// but opens and closes no session.
    /// @param reason 0: it is kept for the device; TG_E_TIMEOUT: what was kept has outlived its
    ///        expiry or the host's limit; TG_E_FULL: it is not kept.
    void (*on_away)(const tg_adapter *self, tg_slice device, tg_msg m, int reason);
};

typedef struct tg_conn_info {
    uint32_t size;
    uint32_t transport; ///< one of tg_transport
    uint32_t worker;
    uint8_t outgoing; ///< opened with dial()
    uint8_t anonymous; ///< the listener lets clients in without credentials
    uint16_t reserved;
    tg_slice peer; ///< "192.0.2.1:5000", "[2001:db8::1]:5000"
    tg_slice listener; ///< its name in the config; empty for dialed ones
    tg_slice cert_cn; ///< common name of the verified client certificate; else empty
    uint64_t opened; ///< ms since the epoch
    uint64_t bytes_in, bytes_out;
} tg_conn_info;

/// Where dial() goes. Strings are copied.
typedef struct tg_dial {
    uint32_t size;
    uint16_t port;
    uint8_t tls; ///< 1: TLS, the name is verified
    uint8_t insecure; ///< 1: TLS without verification
    tg_slice host; ///< name or address
    tg_slice ca_file; ///< PEM; empty: the system's
    tg_slice cert_file; ///< PEM client certificate and
    tg_slice key_file; ///< its key; empty none
    uint32_t timeout_ms; ///< for one attempt; 0: 10,000
    uint32_t backoff_ms; ///< first pause between attempts; 0: one attempt only
    uint32_t backoff_max_ms; ///< the pause doubles, with jitter, up to here
    const tg_value *options; ///< handed to on_open; copied
    uint8_t udp; ///< 1: datagrams, each send is one; there is no TLS then
} tg_dial;

typedef struct tg_conn_api {
    uint32_t size;

    /// Queues `frame`; it leaves with the loop's next flush. Over UDP each send is a datagram.
    /// @owner copies. @return 0; TG_E_CLOSED; TG_E_FULL past the write limit (nothing queued);
    /// TG_E_TOOBIG for more than a datagram holds.
    int (*send)(tg_conn c, tg_slice frame);

    /// Queues a small copied `head`, then `m`'s payload by reference. @owner takes its own
    /// reference on `m`. @return as send.
    int (*send_msg)(tg_conn c, tg_slice head, tg_msg m);

    /// Flushes what is queued, tells the peer (FIN, close_notify), reads the rest away until
    /// it closes too or a deadline passes; on_close is called from the loop's next turn.
    /// @param reason 0 or TG_E_*, shown in logs and counters; `text` adds to it.
    int (*close)(tg_conn c, int reason, tg_slice text);

    /// No callback with data until resume(). Bytes already read are kept; the socket is not
    /// read any further. Calls nest not: one resume() ends it.
    int (*pause)(tg_conn c);
    int (*resume)(tg_conn c);

    /// on_idle after `ms` without bytes from the peer that were of use: a frame that drips in
    /// byte by byte counts when it is whole. 0 switches it off (over UDP: the listener's limit
    /// `quiet` holds again, which closes without on_idle).
    int (*set_idle)(tg_conn c, uint32_t ms);

    /// The peer proved itself: the time-to-first-frame limit ends. Framed adapters get this
    /// from their first good frame.
    int (*ready)(tg_conn c);

    /// @return 0 and the slices in `out`, borrowed until the callback returns; `peer` until
    /// info() of another connection.
    int (*info)(tg_conn c, tg_conn_info *out);

    /// @return bytes waiting to be written, or TG_E_CLOSED.
    int64_t (*pending)(tg_conn c);

    /// The adapter's own per-connection bytes; NULL when closed.
    void *(*state)(tg_conn c);

    /// Opens an outgoing connection for adapter `a`, which this version registered or which
    /// is static in it. on_open when it is up; on_close with the reason when it cannot be.
    int (*dial)(const tg_dial *where, const tg_adapter *a, tg_conn *out);

    /// Counts `what` against the connection's listener and writes one rate-limited log line
    /// that names the peer. For a peer's mistakes that do not end the connection.
    void (*complain)(tg_conn c, int reason, tg_slice what);
} tg_conn_api;

typedef struct tg_listen_api {
    uint32_t size;

    /// Opens a listener as the config's `listeners` has them (same keys), on all workers, in
    /// the background. @return 0 once the spec was valid. `done` gets the bound address.
    int (*open)(const tg_value *spec, tg_done_fn *done, void *ctx);
    /// @return TG_E_NOTFOUND when no listener has that name.
    int (*close)(tg_slice name);
} tg_listen_api;

/// Declared frames outside a connection: offline tests, tunnels, UDP payloads.
typedef struct tg_frame_api {
    uint32_t size;

    /// @return the checksum of `bytes` as `check` defines it.
    uint32_t (*checksum)(tg_check check, tg_slice bytes);

    /// Takes the first frame off `stream`. @return 1 and the frame in `out` (borrowed from
    /// `stream`, or from `scratch` of at least `frames`' largest max when it was escaped);
    /// 0 when more bytes are needed; TG_E_* for a rejected piece. `used`: what to skip.
    int (*next)(const tg_frame *frames, uint32_t nframes, tg_slice stream, char *scratch,
                size_t *used, tg_slice *out);
} tg_frame_api;

#endif
