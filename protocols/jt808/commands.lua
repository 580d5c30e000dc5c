local M = {}
function M.add() end
return M
