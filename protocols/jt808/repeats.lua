-- SPDX-License-Identifier: Apache-2.0
-- Messages that come twice: a terminal sends again what it saw no answer to. Serials alone do not
-- tell, since terminals begin at 0 again, so whole keys are compared: the last few, which are the
-- numbered members of a device.
local M = {}

local RING = 8 -- a message that comes again does so soon; session.lua makes room for so many

--- Was it seen just now?
---@param dev table
---@param key integer
---@return boolean
function M.seen(dev, key)
  local turn = dev.turn
  local last = dev[turn]
  if not last or (key >> 8) - (last >> 8) ~= 1 then -- not simply the next one
    for i = 1, RING do
      if dev[i] == key then return true end
    end
  end
  turn = turn % RING + 1
  dev.turn, dev[turn] = turn, key
  return false
end

return M
