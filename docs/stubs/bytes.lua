---@meta tidegate
-- SPDX-License-Identifier: Apache-2.0
-- The pure modules of the Lua API: layouts, bytes, text, JSON, clocks. They have no effects
-- and may be used everywhere. The language of layouts: docs/layouts.md.

---@class tidegate
local tg = {}

---@class tg.DecodeOptions
---@field zone? integer minutes east of UTC, for clocks whose layout names no zone
---@field partial? boolean bytes that end too early give what was whole, and say so in the flaws

---@class tg.Note
---@field depth integer
---@field offset integer from 0
---@field length integer
---@field name string
---@field raw string the bytes
---@field value string readable

---@class tg.Layout a record, or a list of tags, compiled. docs/layouts.md has the language
local layout = {}

--- Decodes what begins at `pos`, counted from 1.
---@param bytes string
---@param pos? integer
---@param options? tg.DecodeOptions
---@return table? record
---@return integer|tg.Error next the position behind it; after nil, why
---@return string[]? flaws fields whose bytes make no value
function layout:decode(bytes, pos, options) end

--- As decode, but the record is JSON, members in wire order: no table is made.
---@param bytes string
---@param pos? integer
---@param options? tg.DecodeOptions
---@return string? json
---@return integer|tg.Error next
---@return string[]? flaws
function layout:json(bytes, pos, options) end

--- As json, without the braces, to go on with members of one's own.
---@param bytes string
---@param pos? integer
---@param options? tg.DecodeOptions
---@return string? members
---@return integer|tg.Error next
---@return string[]? flaws
function layout:members(bytes, pos, options) end

--- Explains the bytes field by field.
---@param bytes string
---@param pos? integer
---@param options? tg.DecodeOptions
---@return tg.Note[]? notes
---@return integer|tg.Error next
---@return string[]? flaws
function layout:annotate(bytes, pos, options) end

--- Counts and lengths that are not given follow from what they count.
---@param record table
---@param options? { zone?: integer }
---@return string? bytes
---@return tg.Error? err names the field
function layout:encode(record, options) end

--- The field reference.
--- A row each: `tag` of an item of a list, `scale` as "×0.1 −40", `values` as "0 off, 1 on",
--- `optional` where it may be missing.
---@return { depth: integer, offset: integer?, tag: integer?, name: string, type: string, unit: string, note: string, scale: string, values: string, optional: boolean }[]
function layout:fields() end

--- Of a list of tags: a new one in which `items` replace those with the same tag.
---@param items string
---@return tg.Layout
function layout:overlay(items) end

--- Compiles a record.
---@param text string
---@return tg.Layout
function tg.struct(text) end

--- Compiles a list of tag, length and value.
---@param options { items: string, tag?: string, length?: string, length_first?: boolean, counts_tag?: boolean, counts_length?: boolean } tag, length: "u8" (default), "u16be", "u16le", …, "u32le"
---@return tg.Layout
function tg.tlv(options) end

tg.bits = {}

---@param n integer
---@param from integer lowest bit, from 0
---@param width? integer default 1
---@return integer
function tg.bits.get(n, from, width) end
---@param n integer
---@param from integer
---@param width integer
---@param value integer
---@return integer
function tg.bits.set(n, from, width, value) end
--- The lowest `width` bits as two's complement.
---@param n integer
---@param width integer
---@return integer
function tg.bits.signed(n, width) end
---@param n integer
---@param bit integer
---@return boolean
function tg.bits.test(n, bit) end
--- names[bit] for each bit that is set, or "bit<n>".
---@param n integer
---@param names table<integer, string>
---@return string[]
function tg.bits.names(n, names) end

tg.bcd = {}

---@param bytes string
---@return string? digits
---@return tg.Error? err
function tg.bcd.decode(bytes) end
--- Zeros fill up in front, to `width` bytes or to whole bytes.
---@param digits string
---@param width? integer
---@return string bytes
function tg.bcd.encode(digits, width) end

tg.hex = {}

---@param bytes string
---@return string
function tg.hex.encode(bytes) end
---@param text string blanks between bytes are skipped
---@return string? bytes
---@return tg.Error? err
function tg.hex.decode(text) end

---@alias tg.Charset "ascii"|"utf8"|"latin1"|"gbk"|"gb2312"|"gb18030"|"utf16be"|"utf16le"

tg.charset = {}

---@param charset tg.Charset
---@param bytes string 4 MiB at most, which is more than a message has; longer ones raise
---@return string text bad bytes become U+FFFD
---@return integer bad how many
function tg.charset.decode(charset, bytes) end
---@param charset tg.Charset
---@param text string 4 MiB at most; longer ones raise
---@return string bytes characters that the charset has not become "?"
---@return integer lost how many
function tg.charset.encode(charset, text) end
---@param text string
---@return boolean
function tg.charset.valid(text) end

tg.check = {}

---@param bytes string
---@param from? integer first byte, from 1
---@param to? integer last byte; negative counts from the end
---@return integer
function tg.check.xor8(bytes, from, to) end
---@param bytes string
---@param from? integer
---@param to? integer
---@return integer
function tg.check.sum8(bytes, from, to) end
---@param bytes string
---@param from? integer
---@param to? integer
---@return integer
function tg.check.crc16_modbus(bytes, from, to) end
---@param bytes string
---@param from? integer
---@param to? integer
---@return integer
function tg.check.crc16_ccitt(bytes, from, to) end
---@param bytes string
---@param from? integer
---@param to? integer
---@return integer
function tg.check.crc16_x25(bytes, from, to) end
---@param bytes string
---@param from? integer
---@param to? integer
---@return integer
function tg.check.crc32(bytes, from, to) end

tg.crypto = {}

--- Signatures of EC keys are r and s, one behind the other.
---@param kind "rsa-sha256"|"ecdsa-sha256"|"sm2" RSA is PKCS #1 v1.5
---@param key string public key in PEM
---@param bytes string
---@param signature string
---@param id? string of SM2's user; default "1234567812345678"
---@return boolean? good
---@return tg.Error? err the key cannot be used
function tg.crypto.verify(kind, key, bytes, signature, id) end
---@param cipher string "RSA" (PKCS #1 v1.5, block by block), "SM2" (a sequence as GM/T 0009
--- has it, or bare: 04, x, y, hash, text), or one of OpenSSL: "SM4-CBC"
---@param key string|userdata private key in PEM, or the cipher's bytes; may be a secret of the config
---@param bytes string
---@param iv? string
---@return string? bytes
---@return tg.Error? err
function tg.crypto.decrypt(cipher, key, bytes, iv) end

--- The public numbers of an RSA key.
---@param key string|userdata private or public, in PEM; may be a secret of the config
---@return string? modulus
---@return integer|tg.Error exponent
function tg.crypto.public_key(key) end
--- For the holder of a key: PKCS #1 v1.5, as many blocks as the bytes need.
---@param modulus string
---@param exponent integer
---@param bytes string
---@return string? bytes
---@return tg.Error? err the numbers are no key
function tg.crypto.rsa_encrypt(modulus, exponent, bytes) end

--- The text of one of the config's secrets, for protocols that want a password in a frame: see to
--- it that it goes nowhere else. A string is given back as it is.
---@param secret userdata|string
---@return string
function tg.crypto.reveal(secret) end

--- Bytes that nobody can guess: for codes, tokens and nonces. `math.random` is not for these. Not
--- in decode and encode, which give the same for the same.
---@param n integer 1 to 256
---@return string
function tg.crypto.random(n) end

tg.gzip = {}

--- What was compressed with gzip or zlib.
---@param bytes string
---@param max? integer most bytes that may come out, up to 1 MiB; default 64 KiB
---@return string? bytes
---@return tg.Error? err code "TOOBIG": it is more; "MALFORMED": it is no such data
function tg.gzip.decode(bytes, max) end

tg.json = {}

--- What JSON's null is in Lua.
tg.json.null = nil ---@type userdata

--- Keys are sorted: equal values give equal text. 4 MiB of it at most, and 65,536 members of a
--- map.
---@param value any
---@return string? text
---@return tg.Error? err says where: "data.cells[2]: a function has no form in JSON"
function tg.json.encode(value) end
---@param text string
---@return any value
---@return tg.Error? err
function tg.json.decode(text) end
--- Marks a table: [] when it is empty.
---@generic T: table
---@param list T
---@return T
function tg.json.array(list) end

--- Instants are ms since 1970 UTC, zones are minutes east of UTC.
tg.time = {}

---@return integer ms since 1970
function tg.time.now() end
---@return integer ms of a clock that never goes back
function tg.time.ticks() end
--- ISO 8601.
---@param text string
---@param zone? integer of a text that names none
---@return integer? ms
---@return integer|tg.Error zone
function tg.time.parse(text, zone) end
---@param ms integer
---@param zone? integer
---@return string
function tg.time.format(ms, zone) end
---@param text string "+08:00", "-0430", "Z"
---@return integer? minutes
---@return tg.Error? err
function tg.time.zone(text) end
--- YYMMDDhhmmss in six bytes of BCD.
---@param bytes string
---@param zone? integer
---@return integer? ms
---@return tg.Error? err
function tg.time.from_bcd(bytes, zone) end
---@param ms integer
---@param zone? integer
---@return string bytes
function tg.time.to_bcd(ms, zone) end
--- Year - 2000, month, day, hour, minute, second, a byte each.
---@param bytes string
---@param zone? integer
---@return integer? ms
---@return tg.Error? err
function tg.time.from_bytes(bytes, zone) end
---@param ms integer
---@param zone? integer
---@return string bytes
function tg.time.to_bytes(ms, zone) end

return tg
