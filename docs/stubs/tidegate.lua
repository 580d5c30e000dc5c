---@meta tidegate
-- SPDX-License-Identifier: Apache-2.0
-- The Lua API of Tidegate, typed for the Lua language server. One entry for each name that
-- the host registers; a test compares the two. Guide: docs/lua-adapter.md.
--
-- Calls marked "waits" suspend the handler until their result is there; other connections go
-- on meanwhile. They work in handlers, commands, timers and auth backends, and are refused in
-- decode and encode, while the plugin loads, and inside of callbacks of C functions.
-- What can fail returns its value, or nil and a tg.Error.

---@class tg.Error
---@field code string "TIMEOUT", "CLOSED", "DENIED", "NOTFOUND", …
---@field message string for a person
---@field retry boolean the same call may work later

---@alias tg.Duration string|number "500ms", "5s", "10m", "2h", "1d"; a number counts seconds

---@class tg.Frame how a byte stream falls into frames
---@field kind "length"|"escaped"|"delimiter"|"line"|"fixed"|"raw"
---@field magic? string|string[] first bytes of a frame; escaped: the flag byte
---@field size? string|integer length: "u8", "u16be", "u16le", "u24be", "u24le", "u32be", "u32le", "varint"; fixed: bytes
---@field size_at? integer offset of the size from the frame's first byte; default: behind the magic
---@field size_adjust? integer whole frame = size_at + width of the size + its value + size_adjust
---@field counted_at? integer offset of a byte before the size whose value moves the size back, as the length of a name does
---@field min? integer|string whole frame; a smaller one is junk
---@field max? integer|string whole frame; a larger one is junk. Default "8KiB"
---@field check? "xor8"|"sum8"|"crc16/modbus"|"crc16/ccitt"|"crc16/x25"|"crc32"
---@field check_be? boolean the stored checksum has its high byte first
---@field check_from? integer first byte under the checksum, from the frame's first byte
---@field check_tail? integer bytes between the stored checksum and the frame's end; default: the trailer's
---@field trailer? string last bytes; delimiter: the delimiter
---@field escape? string escaped: the escape byte
---@field escapes? string[][] escaped: pairs of the byte behind the escape byte and what it means
---@field lenient? boolean length: where the size leads nowhere, a fitting checksum before a trailer ends the frame; escaped: senders that forget to escape
---@field guard? string bytes that may stand at guard_at; where another one does, the magic was no start
---@field guard_at? integer from the frame's first byte
---@field stall? tg.Duration a started frame that does not grow is given up; default "10s"

---@class tg.Option an option of the plugin's config
---@field type "string"|"integer"|"number"|"boolean"|"duration"|"size"|"topic"|"list"|"map"|"enum"|"secret"
---@field default? any
---@field required? boolean
---@field min? number
---@field max? number
---@field choices? string[] of an enum; also of what stands in a list or a map
---@field help? string

---@class tg.AdapterOptions
---@field id string as listeners name it
---@field version? string
---@field api 1
---@field transports? ("tcp"|"tls"|"udp"|"dtls"|"ws")[] default { "tcp", "tls" }
---@field frame tg.Frame|tg.Frame[]|"raw" a list is chosen from by the first bytes
---@field config? table<string, tg.Option> values are M.config and ctx.config
---@field topic? string default "<id>/${device}/${type}"; a config option `topic` goes before it
---@field down? string|false topic of messages down, subscribed by bind(). Default "<id>/${device}/down"; a config option `down` goes before it
---@field order? "connection"|"device" what on_message runs one at a time for. Default "connection"
---@field sessions? "one"|"many" "many": a platform's link, which stays open when a session ends. Default "one"
---@field expiry? tg.Duration how long sessions outlive their connection; default 0
---@field state_version? integer form of conn.state, for migrate

---@class tg.Ctx what decode and encode may know besides their argument
---@field config table
---@field codec? table conn.codec of the connection

---@class tg.Message a table of the adapter's own; the host reads these members
---@field type? string
---@field device? string
---@field data? any published as JSON
---@field payload? string published as it is, instead of data
---@field members? string|string[] JSON members, published between braces, instead of data
---@field topic? string instead of the adapter's template
---@field qos? integer 0 (default), 1 or 2
---@field retain? boolean
---@field expiry? tg.Duration

---@class tg.Downlink a message for a device
---@field topic string
---@field payload string
---@field device? string
---@field qos integer
---@field retain boolean
---@field dup boolean
---@field time integer when it was published, ms since 1970
---@field expiry integer seconds that are left of its life; 0: it has no end
local downlink = {}

--- The payload as JSON.
---@return any value
---@return tg.Error? err
function downlink:json() end

---@class tg.Adapter what tg.adapter returns: fill in the handlers, and return it
---@field id string
---@field version string
---@field config table the plugin's options with their defaults
---@field commands table<string, fun(conn: tg.Conn, args: table): any, tg.Error?>
---@field decode fun(frame: string, ctx: tg.Ctx): tg.Message|tg.Message[]|nil, string|tg.Error|nil pure
---@field encode? fun(message: table, ctx: tg.Ctx): string?, string|tg.Error|nil pure
---@field on_open? fun(conn: tg.Conn, options: table?)
---@field on_message? fun(conn: tg.Conn, message: tg.Message)
---@field on_downlink? fun(conn: tg.Conn, message: tg.Downlink): any, string|tg.Error|nil false or nil and why refuses it
---@field on_away? fun(message: tg.Downlink, state: string) one on the down topic of a device that is away is "queued", has "expired", or is "refused"
---@field on_idle? fun(conn: tg.Conn) no frame came for the time of conn:idle()
---@field on_move? fun(conn: tg.Conn) the connection came here from another version
---@field on_shutdown? fun(conn: tg.Conn) the host ends and will close the connection: what is sent without waiting still leaves
---@field on_close? fun(conn: tg.Conn, reason: string) "NORMAL" or an error's code
---@field on_damaged? fun(conn: tg.Conn, frame: string) a whole frame whose checksum is wrong; any of its bytes may be
---@field on_data? fun(conn: tg.Conn, data: string): integer? frame = "raw" alone: bytes used, nil for all; all, too, once it has waited
---@field migrate? fun(state: table, from: integer): table? conn.state of another version

---@class tg.Conn a connection, while it is open and after
---@field id integer
---@field peer? string "192.0.2.1:5000"
---@field listener? string
---@field transport? string "tcp", "tls", …
---@field adapter string
---@field device? string the client id that was bound first
---@field cert_cn? string common name of the verified client certificate
---@field open boolean
---@field outgoing boolean opened with tg.dial
---@field state table plain data of the adapter, kept as long as the connection
---@field codec? table small plain data that decode and encode see as ctx.codec
local conn = {}

--- Queues bytes, or what encode makes of a message.
---@param message string|table
---@return true? ok
---@return tg.Error? err
function conn:send(message) end

--- Publishes a message on behalf of its device.
---@param message tg.Message
---@return true? ok
---@return tg.Error? err
function conn:publish(message) end

--- Waits. Opens the session of a device (an older connection of it is taken over) and
--- subscribes its down topic. A platform's link binds many.
---@param device string
---@param attributes? table plain data that goes with the session, e.g. what auth returned
---@param options? { user?: string, clean?: boolean, expiry?: tg.Duration, window?: integer }
---@return true? ok
---@return boolean|tg.Error present an earlier session was taken up again
function conn:bind(device, attributes, options) end

--- Ends the binding of a device; its session lives on for its expiry.
---@param device string
---@return true? ok
---@return tg.Error? err
function conn:unbind(device) end

--- The devices that are bound.
---@return string[]
function conn:devices() end

--- Waits. Sends a message and waits for its answer, which comes by conn:answer(key, value), or
--- is a decoded message that has all fields of `match` (on_message does not see it then).
--- Other messages of the connection are handled meanwhile.
---@param message string|table
---@param options { key?: any, match?: table, timeout?: tg.Duration } timeout: default "10s"
---@return any answer
---@return tg.Error? err
function conn:request(message, options) end

--- Hands an answer to the oldest request with this key.
---@param key any
---@param value? any true when it is nil
---@return boolean waited somebody waited for it
function conn:answer(key, value) end

--- Flushes and closes.
---@param reason? "normal"|"auth"|"denied"|"protocol"|"idle"|"timeout"|"malformed"|"limit"
---@param text? string|tg.Error
---@return true? ok
---@return tg.Error? err
function conn:close(reason, text) end

--- on_idle after so long without a whole frame; 0 switches it off.
---@param after tg.Duration
---@return true? ok
---@return tg.Error? err
function conn:idle(after) end

--- The peer proved itself: the limit on the time to the first frame ends. Raw adapters need it.
---@return true? ok
---@return tg.Error? err
function conn:ready() end

--- Bytes that wait to be written.
---@return integer
function conn:pending() end

--- Counts a mistake of the peer and logs it, rate-limited.
---@param text string
function conn:complain(text) end

---@class tg.Timer
local timer = {}

--- Stops it. @return false: it was not armed any more.
---@return boolean
function timer:stop() end

---@class tg.AuthRequest
---@field device? string same as client_id
---@field client_id? string
---@field user? string
---@field password? string
---@field peer? string
---@field listener? string
---@field adapter? string
---@field cert_cn? string
---@field tls boolean
---@field extra? table

---@class tidegate
local tg = {}

--- Declares an adapter. Main chunk only.
---@param options tg.AdapterOptions
---@return tg.Adapter
function tg.adapter(options) end

---@class tg.auth Called with a table, it declares an auth backend (main chunk only):
--- `tg.auth { id = "acme", api = 1, check = function(request) return "allow", { user = "x" } end }`.
--- check may wait and returns "allow" or true and attributes; "deny" or false and a reason;
--- "next" or nil. An error refuses.
---@overload fun(options: { id: string, version?: string, api: 1, config?: table<string, tg.Option>, check: fun(request: tg.AuthRequest): string|boolean|nil, table|string|nil }): table
tg.auth = {}

--- Waits. Asks the host's chain of backends for the connection whose handler runs.
---@param request { device?: string, client_id?: string, user?: string, password?: string, peer?: string, extra?: table, conn?: tg.Conn }
---@return table? attributes
---@return tg.Error? err code "DENIED", or why nobody could say
function tg.auth.check(request) end

--- Publishes a message on behalf of the plugin itself; it needs a topic.
---@param message tg.Message
---@return true? ok
---@return tg.Error? err
function tg.publish(message) end

--- Waits.
---@param duration tg.Duration
---@return true
function tg.sleep(duration) end

--- Opens an outgoing connection, which an adapter of this plugin handles: on_open when it is
--- up. With `backoff` it is tried until it is; one that was up and ended is not opened again:
--- on_close may dial.
--- Over `udp` it is up at once, whoever is there; each send is a datagram.
---@param options { host: string, port: integer, adapter?: string, udp?: boolean, tls?: boolean, insecure?: boolean, ca_file?: string, cert_file?: string, key_file?: string, timeout?: tg.Duration, backoff?: tg.Duration, backoff_max?: tg.Duration, options?: table }
---@return true? ok
---@return tg.Error? err
function tg.dial(options) end

--- A driver that a C plugin offers. Each method waits: `local rows, err = db:query(sql, id)`.
---@param id string
---@return table
function tg.driver(id) end

--- Every worker runs the plugin in a state of its own.
---@return integer this from 0
---@return integer count
function tg.worker() end

tg.log = {}

---@param format string
---@param ... any as string.format
function tg.log.error(format, ...) end
---@param format string
---@param ... any
function tg.log.warn(format, ...) end
---@param format string
---@param ... any
function tg.log.info(format, ...) end
---@param format string
---@param ... any
function tg.log.debug(format, ...) end

tg.timer = {}

--- Runs `fn` once, as a handler of its own.
---@param delay tg.Duration
---@param fn fun()
---@return tg.Timer
function tg.timer.after(delay, fn) end

--- Runs `fn` again and again; a run that still waits takes the place of the next one.
---@param period tg.Duration
---@param fn fun()
---@return tg.Timer
function tg.timer.every(period, fn) end

tg.metric = {}

--- A counter tidegate_<plugin>_<name>, as a function that adds to it. The same name and labels
--- give the same counter again. Make it once, not for each message: that takes a lock. Labels
--- tell apart what there is a bounded number of (a model, a reason), never devices: one name has
--- at most 1,000 sets of them, and none is ever given back; past that it raises.
---@param name string
---@param help? string
---@param labels? table<string, string|number|boolean> at most 8; values of at most 128 bytes
---@return fun(by?: integer)
function tg.metric.counter(name, help, labels) end

--- A gauge, which may go down as well.
---@param name string
---@param help? string
---@param labels? table<string, string|number|boolean>
---@return fun(by?: integer)
function tg.metric.gauge(name, help, labels) end

--- What devices upload, kept by the host in the folder of its config's `files`.
tg.files = {}

---@class tg.File
---@field path string below the folder
---@field name string
---@field size integer bytes
---@field sha256 string hex

--- Writes a file, whole or not at all; waits. It replaces none: one of the same name gets a
--- number. Errors: UNSUPPORTED (the host keeps no files), TOOBIG, FULL (a bound), NOSPACE, IO.
---@param parts string[] the device, folders, the file's name: 2 to 8, of any bytes, none empty
---@param bytes string
---@return tg.File? file
---@return tg.Error? err
function tg.files.write(parts, bytes) end

--- Keys shared by all workers and versions of the plugin. Values are strings. With `durable` a
--- call waits until the host's store has the key, and a restart finds it there; later changes of
--- the key follow by themselves.
tg.kv = {}

---@param key string
---@return string? value
---@return tg.Error? err
function tg.kv.get(key) end

---@param key string
---@param value string|number
---@param options? { ttl?: tg.Duration, durable?: boolean }
---@return true? ok
---@return tg.Error? err
function tg.kv.set(key, value, options) end

--- Sets it only if it is missing.
---@param key string
---@param value string|number
---@param options? { ttl?: tg.Duration, durable?: boolean }
---@return boolean? mine false: somebody has it
---@return tg.Error? err
function tg.kv.add(key, value, options) end

--- Adds to a number, from 0.
---@param key string
---@param by? integer
---@param options? { ttl?: tg.Duration, durable?: boolean }
---@return integer? value
---@return tg.Error? err
function tg.kv.incr(key, by, options) end

---@param key string
---@param options? { durable?: boolean }
---@return boolean? was
---@return tg.Error? err
function tg.kv.del(key, options) end

---Queues of bytes that outlive a restart when the host's store is on disk: for what must reach
---somebody who is away. First in, first out, bounded; one belongs to the plugin and is shared by
---its workers and versions. It is read from the store in pages, not held in memory.
tg.spool = {}

---@class tg.SpoolOptions
---@field max_bytes? integer|string a size; "64MiB" unless given
---@field max_count? integer items; no bound unless given
---@field max_age? number|string since its push; what is older is dropped when it is met; no bound unless given
---@field when_full? "drop"|"refuse" what is oldest goes, or a push fails with FULL

---@class tg.SpoolItem
---@field id integer counts up without gaps
---@field at integer when it was pushed, milliseconds since 1970
---@field bytes string

---@class tg.Spool
---Waits until the item is committed. @return its id; FULL; TOOBIG: more than max_bytes; NOSPACE:
---the store is full; IO
---@field push fun(self: tg.Spool, bytes: string): integer?, tg.Error?
---The oldest items, which stay: at most `n` (1 to 256, 1 unless given) and 1 MiB. `wait`: how long
---for a first one, not at all unless given.
---@field peek fun(self: tg.Spool, n?: integer, wait?: tg.Duration): tg.SpoolItem[]?, tg.Error?
---Takes away all items up to and with `id`; waits for the commit. NOTFOUND: none was pushed yet.
---@field ack fun(self: tg.Spool, id: integer): true?, tg.Error?
---What is there (count, bytes, first, next), and what happened since the host started (pushed,
---acked, dropped, refused).
---@field stats fun(self: tg.Spool): table<string, integer>?, tg.Error?

---Opens the plugin's spool of that name, or gives one that is open new bounds. May stand in the
---main chunk.
---@param name string letters, digits, "-", "_", "."; at most 63
---@param options? tg.SpoolOptions
---@return tg.Spool? queue
---@return tg.Error? error UNSUPPORTED: the host's store cannot be read in pages
function tg.spool.open(name, options) end

return tg
