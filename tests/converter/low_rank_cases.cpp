#include "tests/converter/low_rank_cases.hpp"

#include <Eigen/Eigenvalues>

namespace sqf {

std::vector<double> exact_energies(Shape shape, const std::vector<float>& error,
                                   const float* weights) {
  Matrix m(shape.rows, shape.columns);
  for (int64_t i = 0; i < m.size(); i++)
    m.data()[i] = static_cast<double>(error[static_cast<size_t>(i)]) *
                  (weights == nullptr ? 1 : static_cast<double>(weights[i % shape.columns]));
  // They are the eigenvalues of the smaller Gram matrix, smallest first.
  Eigen::MatrixXd gram(std::min(m.rows(), m.cols()), std::min(m.rows(), m.cols()));
  if (m.rows() < m.cols())
    gram = m * m.transpose();
  else
    gram = m.transpose() * m;
  const Eigen::VectorXd values =
      Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd>(gram, Eigen::EigenvaluesOnly).eigenvalues();
  std::vector<double> out(values.begin(), values.end());
  std::reverse(out.begin(), out.end());
  return out;
}

}  // namespace sqf
