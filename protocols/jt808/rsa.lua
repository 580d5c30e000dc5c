-- SPDX-License-Identifier: Apache-2.0
-- Encrypted bodies. Bit 10 of the header says that a body is encrypted with RSA for its
-- receiver, whose key 0x0A00 or 0x8A00 announced; what stands in no text is done as PKCS #1
-- v1.5 has it, block by block. Without a key a body goes on as it is. RSA of 1024 bits proves
-- nothing about a sender: TLS does.
local tg = require "tidegate"

local M = {}

local BITS = 1 -- the only one of three that has a meaning
local SIZE = 128 -- bytes of a modulus, in both key messages

--- The body in the clear.
---@param encryption integer bits 10 to 12
---@return string? bytes nil: it stays as it is
function M.open(body, encryption, config)
  if not config.rsa_key or encryption ~= BITS or #body == 0 then return nil end
  return (tg.crypto.decrypt("RSA", config.rsa_key, body))
end

--- What 0x8A00 says of us.
---@return table? key e, n as hex
function M.own(config)
  if not config.rsa_key then return nil end
  local n, e = tg.crypto.public_key(config.rsa_key)
  if not n or #n ~= SIZE or e > 0xFFFFFFFF then
    tg.log.error "rsa_key is no RSA key of 1024 bits"
    return nil
  end
  return { e = e, n = tg.hex.encode(n) }
end

--- A body for the terminal that announced this key.
---@param key table e, n as hex
---@return string? bytes
function M.close(body, key)
  if body == "" then return body end
  return (tg.crypto.rsa_encrypt(tg.hex.decode(key.n) or "", key.e, body))
end

return M
