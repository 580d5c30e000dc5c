-- SPDX-License-Identifier: Apache-2.0
-- Signatures of 2025 and encrypted units. Keys come with what auth says of a vehicle (a
-- script of the site's own may look them up), or from the options for all. The signed bytes
-- go from the time to the byte before the mark of the signature; VIN and command are not
-- among them, so a key belongs to a VIN.
local tg = require "tidegate"

local M = {}

local KINDS = { RSA = "rsa-sha256", ECC = "ecdsa-sha256", SM2 = "sm2" }
local CIPHERS = { [0x02] = "RSA", [0x03] = "AES-%d-CBC", [0x04] = "SM2", [0x05] = "SM4-CBC" }
local ASYMMETRIC = { RSA = true, SM2 = true }
local UNIT = 25

--- Keys of a device, to be kept beside the link.
---@param attributes table what auth said
---@return table? keys
function M.of(attributes)
  local public, unit, iv = attributes.public_key, attributes.unit_key, attributes.unit_iv
  if not public and not unit then return nil end
  return { public = public, unit = unit, iv = iv }
end

local function keys_of(ctx, device)
  local all = ctx.codec and ctx.codec.keys
  return all and all[device] or {}
end

---@param signature table algorithm, r and s
---@param frame string
---@param last integer the last signed byte's place in the frame
---@return boolean? good nil: there is no key, or none that could be asked
---@return string? why
function M.verify(signature, frame, last, device, ctx)
  local key = keys_of(ctx, device).public
  if not key and ctx.config.public_key ~= "" then key = ctx.config.public_key end
  if not key then return nil end
  local kind = KINDS[signature.algorithm]
  if not kind then return false, "an unknown algorithm" end
  local bytes = tg.hex.decode(signature.r) .. tg.hex.decode(signature.s)
  local good, err = tg.crypto.verify(kind, key, frame:sub(UNIT, last), bytes)
  if good == nil then return false, err.message end
  return good
end

--- Whether signatures are asked for on this link.
function M.wanted(device, ctx)
  return ctx.config.public_key ~= "" or keys_of(ctx, device).public ~= nil
end

--- The practice of those who encrypt: CBC with PKCS #7, and the key as IV.
local function symmetric(name, key, iv, bytes)
  local raw = tg.hex.decode(key)
  local start = iv and tg.hex.decode(iv) or raw and raw:sub(1, 16)
  if not raw or not start then return nil end
  return tg.crypto.decrypt(name:format(8 * #raw), raw, bytes, start)
end

---@return string? unit nil: there is no key, or it does not fit
function M.decrypt(encryption, bytes, device, ctx)
  local name, own = CIPHERS[encryption], keys_of(ctx, device)
  if not name or not own.unit then return nil end
  if ASYMMETRIC[name] then return (tg.crypto.decrypt(name, own.unit, bytes)) end
  return (symmetric(name, own.unit, own.iv, bytes))
end

--- The frame as it would be if nobody had encrypted its unit.
function M.plain(frame, unit)
  return frame:sub(1, 21) .. "\1" .. string.pack(">s2", unit) .. "\0"
end

return M
