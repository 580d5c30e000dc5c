---@meta tidegate
-- SPDX-License-Identifier: Apache-2.0
-- The pure modules of the Lua API: layouts, bytes, text, JSON, clocks. They have no effects
-- and may be used everywhere. The language of layouts: docs/layouts.md.

---@class tidegate
local tg = {}

---@class tg.DecodeOptions
---@field zone? integer minutes east of UTC, for clocks without a zone
---@field partial? boolean a record that ends early is decoded as far as it goes

---@class tg.Layout
local layout = {}

--- Decodes a record. Members keep the layout's order when they are written as JSON.
---@param bytes string
---@param pos? integer from 1
---@param options? tg.DecodeOptions
---@return table? record
---@return integer|tg.Error next where to go on
---@return table? flaws what could not be read as it should be
function layout:decode(bytes, pos, options) end

--- Decodes straight to JSON text, several times as fast as by way of a table.
---@param bytes string
---@param pos? integer
---@param options? tg.DecodeOptions
---@return string? json
---@return integer|tg.Error next
---@return table? flaws
function layout:json(bytes, pos, options) end

--- As json(), without the braces: to be put among other members.
---@param bytes string
---@param pos? integer
---@param options? tg.DecodeOptions
---@return string? members
---@return integer|tg.Error next
---@return table? flaws
function layout:members(bytes, pos, options) end

--- Each field with its place, its bytes in hex and its value.
---@param bytes string
---@param pos? integer
---@param options? tg.DecodeOptions
---@return { depth: integer, offset: integer, length: integer, name: string, raw: string, value: string }[]? fields
---@return integer|tg.Error next
---@return table? flaws
function layout:annotate(bytes, pos, options) end

---@param record table
---@param options? tg.DecodeOptions
---@return string? bytes
---@return tg.Error? err
function layout:encode(record, options) end

--- The layout as rows, for documentation.
---@return { depth: integer, offset?: integer, name: string, type: string, unit: string, note: string }[]
function layout:fields() end

--- A tag list with more tags, or other ones under the same numbers. tg.tlv alone.
---@param items string
---@return tg.Layout
function layout:overlay(items) end

--- Compiles a record.
---@param text string
---@return tg.Layout
function tg.struct(text) end

--- Compiles a list of tag, length and value.
---@param options { tag?: string, length?: string, items: string, length_first?: boolean, counts_tag?: boolean, counts_length?: boolean }
---@return tg.Layout
function tg.tlv(options) end

tg.bits = {}

---@param n integer
---@param first integer 0 is the lowest bit
---@param width? integer default 1
---@return integer
function tg.bits.get(n, first, width) end
---@param n integer
---@param first integer
---@param width integer
---@param value integer
---@return integer
function tg.bits.set(n, first, width, value) end
--- The lowest `width` bits as a two's complement number.
---@param n integer
---@param width integer
---@return integer
function tg.bits.signed(n, width) end
---@param n integer
---@param bit integer
---@return boolean
function tg.bits.test(n, bit) end
--- The names of the set bits; "bit<n>" where there is none.
---@param n integer
---@param names table<integer, string>
---@return string[]
function tg.bits.names(n, names) end

tg.hex = {}

---@param bytes string
---@return string
function tg.hex.encode(bytes) end
--- Blanks between bytes are skipped.
---@param text string
---@return string? bytes
---@return tg.Error? err
function tg.hex.decode(text) end

tg.bcd = {}

---@param bytes string
---@return string? digits
---@return tg.Error? err
function tg.bcd.decode(bytes) end
--- Zeros fill up in front, to `width` bytes or to whole bytes.
---@param digits string
---@param width? integer
---@return string
function tg.bcd.encode(digits, width) end

tg.charset = {}

---@alias tg.Charset "ascii"|"utf-8"|"latin1"|"gbk"|"gb18030"|"utf-16be"|"utf-16le"
---@param charset tg.Charset
---@param bytes string
---@return string text UTF-8, U+FFFD for bad bytes
---@return integer bad
function tg.charset.decode(charset, bytes) end
---@param charset tg.Charset
---@param text string
---@return string bytes "?" for characters without a form
---@return integer lost
function tg.charset.encode(charset, text) end
--- Is it UTF-8?
---@param text string
---@return boolean
function tg.charset.valid(text) end

--- Checksums over bytes `from` to `to`, both counted from 1.
tg.check = {}

---@param bytes string
---@param from? integer
---@param to? integer
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

tg.json = {}

--- JSON's null.
tg.json.null = nil

--- Keys of maps are sorted, those of decoded records keep the layout's order.
---@param value any
---@return string? text
---@return tg.Error? err
function tg.json.encode(value) end
---@param text string
---@return any value
---@return tg.Error? err
function tg.json.decode(text) end
--- Marks a table as a list, so that an empty one is written as [].
---@param list table
---@return table
function tg.json.array(list) end

--- Instants are integers: ms since 1970 UTC. Zones are minutes east of UTC.
tg.time = {}

--- The host's clock.
---@return integer
function tg.time.now() end
--- Milliseconds of a clock that never goes back, for measuring.
---@return integer
function tg.time.ticks() end
--- ISO 8601.
---@param text string
---@param zone? integer where the text names none
---@return integer? ms
---@return integer|tg.Error zone
function tg.time.parse(text, zone) end
---@param ms integer
---@param zone? integer
---@return string
function tg.time.format(ms, zone) end
--- "+08:00", "-0430" or "Z" as minutes.
---@param text string
---@return integer? minutes
---@return tg.Error? err
function tg.time.zone(text) end
--- Six bytes YY MM DD hh mm ss in BCD.
---@param bytes string
---@param zone? integer
---@return integer? ms
---@return tg.Error? err
function tg.time.from_bcd(bytes, zone) end
--- Six plain bytes: year - 2000, month, day, hour, minute, second.
---@param bytes string
---@param zone? integer
---@return integer? ms
---@return tg.Error? err
function tg.time.from_bytes(bytes, zone) end
---@param ms integer
---@param zone? integer
---@return string
function tg.time.to_bcd(ms, zone) end
---@param ms integer
---@param zone? integer
---@return string
function tg.time.to_bytes(ms, zone) end

return tg
